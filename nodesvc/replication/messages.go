package replication

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// Kinds of frames between nodes. They are on the wire: never renumbered, never used again.
const (
	kindStart      uint8 = 1
	kindStarted    uint8 = 2
	kindAppend     uint8 = 3
	kindAck        uint8 = 4
	kindStale      uint8 = 5
	kindCommits    uint8 = 6
	kindConfirm    uint8 = 7
	kindConfirmed  uint8 = 8
	kindOffer      uint8 = 9
	kindOfferReply uint8 = 10
	kindChunk      uint8 = 11
	kindChunkAck   uint8 = 12
	kindSeal       uint8 = 13
	kindOpened     uint8 = 15
)

// Limits of what one frame says.
const (
	slotsPerFrameMax = 1 << api.SlotBitsMax
	entryHead        = 8 + 8 + 1 + 8 + lengthSize // bytes of an entry before its record
	appendHead       = 2 + 8 + 8 + lengthSize     // bytes of an Append before its entries
	appendMax        = peer.FrameMax - appendHead // bytes of entries that fit into an Append
)

// message is the body of a frame.
type message interface {
	kind() uint8
	append(dst []byte) []byte
}

// SlotEpoch names a slot in an epoch.
type SlotEpoch struct {
	Slot  api.Slot
	Epoch api.Epoch
}

func (m SlotEpoch) append(dst []byte) []byte {
	return appendUint64(appendUint16(dst, uint16(m.Slot)), uint64(m.Epoch))
}

func (m *SlotEpoch) read(r *reader) {
	m.Slot, m.Epoch = api.Slot(r.uint16()), api.Epoch(r.uint64())
}

const slotEpochSize = 2 + 8

// Start asks a replica to follow the primary in an epoch: it adopts it, truncates its log to what both logs
// share, and answers Started.
type Start struct {
	SlotEpoch
	Primary api.Replica
	ISR     []api.Replica
	History []ownership.EpochStart // of the primary's log
	Last    ownership.Seq
	Commit  ownership.Seq
}

func (Start) kind() uint8 { return kindStart }

func (m Start) append(dst []byte) []byte {
	dst = appendReplica(m.SlotEpoch.append(dst), m.Primary)
	dst = appendReplicas(dst, m.ISR)
	dst = appendHistory(dst, m.History)
	dst = appendUint64(dst, uint64(m.Last))
	return appendUint64(dst, uint64(m.Commit))
}

func (m *Start) read(r *reader) {
	m.SlotEpoch.read(r)
	m.Primary, m.ISR, m.History = r.replica(), r.replicas(), r.history()
	m.Last, m.Commit = r.seq(), r.seq()
}

// Started answers Start: the replica adopted the epoch, and its log, cut to what is shared, ends at Last.
type Started struct {
	SlotEpoch
	Last   ownership.Seq
	Need   bool   // it has to be given a copy: nothing is shared that the primary's records could follow
	Digest uint64 // of the chain at Last
}

func (Started) kind() uint8 { return kindStarted }

func (m Started) append(dst []byte) []byte {
	dst = appendUint64(m.SlotEpoch.append(dst), uint64(m.Last))
	return appendUint64(appendBool(dst, m.Need), m.Digest)
}

func (m *Started) read(r *reader) {
	m.SlotEpoch.read(r)
	m.Last, m.Need, m.Digest = r.seq(), r.bool(), r.uint64()
}

// Append carries records, which follow what the replica has, and how far all replicas have them.
type Append struct {
	SlotEpoch
	Commit  ownership.Seq
	Entries []slotlog.Entry
}

func (Append) kind() uint8 { return kindAppend }

func (m Append) append(dst []byte) []byte {
	dst = appendUint64(m.SlotEpoch.append(dst), uint64(m.Commit))
	dst = appendLength(dst, len(m.Entries))
	for _, entry := range m.Entries {
		dst = appendEntry(dst, entry)
	}
	return dst
}

func (m *Append) read(r *reader) {
	m.SlotEpoch.read(r)
	m.Commit, m.Entries = r.seq(), list(r, entryHead, (*reader).entry)
}

// Ack says that the sender's log is durable up to Seq.
type Ack struct {
	SlotEpoch
	Seq    ownership.Seq
	Digest uint64 // of the chain at Seq
	Full   bool   // its disk is: the primary should refuse writes
}

func (Ack) kind() uint8 { return kindAck }

func (m Ack) append(dst []byte) []byte {
	dst = appendUint64(m.SlotEpoch.append(dst), uint64(m.Seq))
	return appendBool(appendUint64(dst, m.Digest), m.Full)
}

func (m *Ack) read(r *reader) {
	m.SlotEpoch.read(r)
	m.Seq, m.Digest, m.Full = r.seq(), r.uint64(), r.bool()
}

// Stale answers a message of a lower epoch with the one that the sender has adopted.
type Stale struct{ SlotEpoch }

func (Stale) kind() uint8 { return kindStale }

// Commit is how far the records of a slot are committed.
type Commit struct {
	SlotEpoch
	Seq ownership.Seq
}

const commitSize = slotEpochSize + 8

// Commits tells a replica how far it may apply, where no Append does.
type Commits struct{ Slots []Commit }

func (Commits) kind() uint8 { return kindCommits }

func (m Commits) append(dst []byte) []byte {
	dst = appendLength(dst, len(m.Slots))
	for _, commit := range m.Slots {
		dst = appendUint64(commit.SlotEpoch.append(dst), uint64(commit.Seq))
	}
	return dst
}

func (m *Commits) read(r *reader) {
	m.Slots = list(r, commitSize, func(r *reader) (commit Commit) {
		commit.SlotEpoch.read(r)
		commit.Seq = r.seq()
		return commit
	})
}

// Confirm asks whether the receiver still is at these epochs: reads wait for the answer. There are at most
// slotsPerFrameMax.
type Confirm struct {
	ID    uint64 // the sender's, to tell answers apart
	Slots []SlotEpoch
}

func (Confirm) kind() uint8 { return kindConfirm }

func (m Confirm) append(dst []byte) []byte {
	dst = appendLength(appendUint64(dst, m.ID), len(m.Slots))
	for _, slot := range m.Slots {
		dst = slot.append(dst)
	}
	return dst
}

func (m *Confirm) read(r *reader) {
	m.ID = r.uint64()
	m.Slots = list(r, slotEpochSize, func(r *reader) (slot SlotEpoch) {
		slot.read(r)
		return slot
	})
	r.failIf(len(m.Slots) > slotsPerFrameMax)
}

// Confirmed answers Confirm: the receiver is at all of its epochs, but for those at the refused positions.
type Confirmed struct {
	ID      uint64
	Refused []uint16
}

func (Confirmed) kind() uint8 { return kindConfirmed }

func (m Confirmed) append(dst []byte) []byte {
	dst = appendLength(appendUint64(dst, m.ID), len(m.Refused))
	for _, position := range m.Refused {
		dst = appendUint16(dst, position)
	}
	return dst
}

func (m *Confirmed) read(r *reader) {
	m.ID, m.Refused = r.uint64(), list(r, 2, (*reader).uint16)
}

// Seal says that the sender serves the slot no more in this epoch, whose log ends at Last: the receiver is to
// take over.
type Seal struct {
	SlotEpoch
	Last    ownership.Seq
	Leaving bool // because the sender's process stops: it is not to be given slots any more
}

func (Seal) kind() uint8 { return kindSeal }

func (m Seal) append(dst []byte) []byte {
	return appendBool(appendUint64(m.SlotEpoch.append(dst), uint64(m.Last)), m.Leaving)
}

func (m *Seal) read(r *reader) {
	m.SlotEpoch.read(r)
	m.Last, m.Leaving = r.seq(), r.bool()
}

// Opened says that the sender serves the slot in this epoch.
type Opened struct {
	SlotEpoch
	ISR []api.Replica
}

func (Opened) kind() uint8 { return kindOpened }

func (m Opened) append(dst []byte) []byte { return appendReplicas(m.SlotEpoch.append(dst), m.ISR) }

func (m *Opened) read(r *reader) {
	m.SlotEpoch.read(r)
	m.ISR = r.replicas()
}
