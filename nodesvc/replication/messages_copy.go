package replication

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// Limits of what is said while a slot is copied.
const (
	refusalMax = 1 << 10 // bytes; what is longer is clipped
)

// Offer asks whether a replica takes a copy of the slot's state.
type Offer struct {
	SlotEpoch
	Copy    uint64        // the sender's, to tell copies apart
	Seq     ownership.Seq // the state is that after this record
	Digest  uint64        // of the chain at Seq
	History []ownership.EpochStart
	Size    uint64 // bytes of the state
}

func (Offer) kind() uint8 { return kindOffer }

func (m Offer) append(dst []byte) []byte {
	dst = appendUint64(m.SlotEpoch.append(dst), m.Copy)
	dst = appendUint64(dst, uint64(m.Seq))
	dst = appendHistory(appendUint64(dst, m.Digest), m.History)
	return appendUint64(dst, m.Size)
}

func (m *Offer) read(r *reader) {
	m.SlotEpoch.read(r)
	m.Copy, m.Seq, m.Digest, m.History, m.Size = r.uint64(), r.seq(), r.uint64(), r.history(), r.uint64()
}

// OfferReply answers Offer: chunks are taken from Cursor on, unless there is a refusal.
type OfferReply struct {
	Slot    api.Slot
	Copy    uint64
	Cursor  uint64 // bytes of the state that are there already
	Whole   bool   // all of it is
	Refusal string
}

func (OfferReply) kind() uint8 { return kindOfferReply }

func (m OfferReply) append(dst []byte) []byte {
	dst = appendUint64(appendUint16(dst, uint16(m.Slot)), m.Copy)
	return appendRefusal(appendBool(appendUint64(dst, m.Cursor), m.Whole), m.Refusal)
}

func (m *OfferReply) read(r *reader) {
	m.Slot, m.Copy, m.Cursor = api.Slot(r.uint16()), r.uint64(), r.uint64()
	m.Whole, m.Refusal = r.bool(), r.refusal()
}

// Chunk carries a frame of package transfer. It travels in the bulk lane.
type Chunk struct {
	Slot  api.Slot
	Copy  uint64
	Frame []byte // at most transfer.FrameMax
}

func (Chunk) kind() uint8 { return kindChunk }

func (m Chunk) append(dst []byte) []byte {
	return append(appendUint64(appendUint16(dst, uint16(m.Slot)), m.Copy), m.Frame...)
}

func (m *Chunk) read(r *reader) { m.Slot, m.Copy, m.Frame = api.Slot(r.uint16()), r.uint64(), r.rest() }

// ChunkAck says how much of a state arrived.
type ChunkAck struct {
	Slot     api.Slot
	Copy     uint64
	Cursor   uint64
	Whole    bool // all of it arrived
	Restored bool // and is the replica's state now, durably
	Refusal  string
}

func (ChunkAck) kind() uint8 { return kindChunkAck }

func (m ChunkAck) append(dst []byte) []byte {
	dst = appendUint64(appendUint16(dst, uint16(m.Slot)), m.Copy)
	dst = appendBool(appendBool(appendUint64(dst, m.Cursor), m.Whole), m.Restored)
	return appendRefusal(dst, m.Refusal)
}

func (m *ChunkAck) read(r *reader) {
	m.Slot, m.Copy, m.Cursor = api.Slot(r.uint16()), r.uint64(), r.uint64()
	m.Whole, m.Restored, m.Refusal = r.bool(), r.bool(), r.refusal()
}
