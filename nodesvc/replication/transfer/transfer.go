// Package transfer carries the state of one slot from one store to another, in chunks that are checked,
// acknowledged and sent again where a connection was lost.
//
// It owns cutting, checking, the window, and how fast and how many at once; not the network, nor when a slot is
// copied or what its state means: octets go out through a function, and come in through a call. Its invariants:
// what Receiver.Whole reads is octet by octet what the sender's state wrote; a sender holds at most windowMax
// chunks in memory, and a receiver one.
package transfer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Sizes in bytes.
const (
	ChunkSize = 1 << 20  // of a state, acknowledged together
	FrameMax  = 63 << 10 // sent at once: the owner adds whose it is, and stays within a bulk frame
)

// windowMax is how many chunks are sent before the first of them is acknowledged.
const windowMax = 4

// A frame is check32 cursor64 sum32 size32 offset32 last8, then data; all integers are big-endian. check is the
// CRC-32C of what follows it.
const (
	frameCheckSize = 4
	frameHeadSize  = frameCheckSize + 8 + 4 + 4 + 4 + 1
)

var (
	// ErrMalformed says that a frame is not one.
	ErrMalformed = errors.New("malformed frame")
	// ErrOutOfStep says that a frame does not follow what is there: the sender is to begin at Progress.
	ErrOutOfStep = errors.New("the frame does not follow")
	// ErrDamaged says that octets changed on their way, or where they were kept.
	ErrDamaged = errors.New("the state is damaged")
	// ErrStartOver says that the receiver lacks what the sender has let go: the copy is to begin anew.
	ErrStartOver = errors.New("the receiver is where the sender cannot go back to")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Progress is how much of a state arrived.
type Progress struct {
	Cursor uint64 // bytes
	Done   bool   // that is all
}

// chunk is a part of a state.
type chunk struct {
	cursor uint64 // where in the state it begins
	sum    uint32 // CRC-32C of the state up to the chunk's end
	last   bool
	data   []byte
}

func (c *chunk) end() uint64 { return c.cursor + uint64(len(c.data)) }

// frame is a piece of a chunk as it travels.
type frame struct {
	cursor uint64 // of the chunk
	sum    uint32 // of the chunk
	size   uint32 // of the chunk
	offset uint32 // of the data in the chunk
	last   bool   // the chunk is
	data   []byte
}

// frames calls send with each piece of the chunk; an empty chunk has one.
func (c *chunk) frames(send func([]byte) error) error {
	const dataMax = FrameMax - frameHeadSize
	for offset := 0; offset == 0 || offset < len(c.data); offset += dataMax {
		piece := frame{
			cursor: c.cursor, sum: c.sum, size: uint32(len(c.data)), offset: uint32(offset), last: c.last,
			data: c.data[offset:min(offset+dataMax, len(c.data))],
		}
		if err := send(piece.append(make([]byte, 0, frameHeadSize+len(piece.data)))); err != nil {
			return err
		}
	}
	return nil
}

func (f *frame) append(to []byte) []byte {
	start := len(to)
	to = append(to, make([]byte, frameCheckSize)...)
	to = binary.BigEndian.AppendUint64(to, f.cursor)
	to = binary.BigEndian.AppendUint32(to, f.sum)
	to = binary.BigEndian.AppendUint32(to, f.size)
	to = binary.BigEndian.AppendUint32(to, f.offset)
	last := byte(0)
	if f.last {
		last = 1
	}
	to = append(append(to, last), f.data...)
	binary.BigEndian.PutUint32(to[start:], crc32.Checksum(to[start+frameCheckSize:], castagnoli))
	return to
}

// readFrame returns a frame whose data is a part of body.
func readFrame(body []byte) (frame, error) {
	if len(body) < frameHeadSize || len(body) > FrameMax {
		return frame{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(body))
	}
	if binary.BigEndian.Uint32(body) != crc32.Checksum(body[frameCheckSize:], castagnoli) {
		return frame{}, fmt.Errorf("cannot read a frame: %w", ErrDamaged)
	}
	head := body[frameCheckSize:]
	f := frame{
		cursor: binary.BigEndian.Uint64(head),
		sum:    binary.BigEndian.Uint32(head[8:]),
		size:   binary.BigEndian.Uint32(head[12:]),
		offset: binary.BigEndian.Uint32(head[16:]),
		last:   head[20] == 1,
		data:   body[frameHeadSize:],
	}
	end := uint64(f.offset) + uint64(len(f.data))
	empty := len(f.data) == 0
	if head[20] > 1 || f.size > ChunkSize || end > uint64(f.size) || empty && (f.size > 0 || !f.last) {
		return frame{}, fmt.Errorf("%w: %d bytes at %d of %d", ErrMalformed, len(f.data), f.offset, f.size)
	}
	return f, nil
}
