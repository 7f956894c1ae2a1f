package forward

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/stead-io/stead/dataplane/wire"
)

// Bounds on what is held of a body.
const (
	// ReplayMax is how much of a body is kept so that it can be sent again, to another node.
	ReplayMax = 1 << 20
	// LoadMax is the longest body that is read whole before its request is sent.
	LoadMax = 64 << 10

	keptCapMax = LoadMax // capacity held on to between requests
	wholePiece = 16 << 10

	keptMin      = 1 << 10
	spilledPiece = 32 << 10 // read at a time of what is not kept
)

// ErrBodyTooLarge refuses a body longer than its limit.
var ErrBodyTooLarge = errors.New("the body is larger than the limit")

// ErrNoRoom refuses a body that must be whole while others take all the room.
var ErrNoRoom = errors.New("too many long bodies are held")

// trailed is a source that may have trailers behind it: whole lines, to be sent as they stand.
type trailed interface{ Trailers() []byte }

// Body is the body of a request: read once from the client, kept up to ReplayMax.
type Body struct {
	// Length in octets, or wire.Chunked.
	Length int64

	source  io.Reader
	limit   int64
	total   int64  // octets read from the source
	late    []byte // lines of trailers
	kept    []byte // its first octets
	share   *Room  // where there is room for more than LoadMax of them; nil: anywhere
	taken   int    // of that
	spilled bool   // more were read than are kept
	ended   bool   // the source was read to its end
	err     error  // why it could not be

	lost     atomic.Bool // it has spilled or failed, which is looked at while an upload reads
	unwanted atomic.Bool // the rest is of no use to anybody
}

// Reset makes the body that of another request. The source ends with io.EOF where the body does;
// more than limit octets are refused with ErrBodyTooLarge.
func (b *Body) Reset(source io.Reader, length, limit int64) {
	b.giveBack()
	kept := b.kept[:0]
	if cap(kept) > keptCapMax {
		kept = nil
	}
	*b = Body{Length: length, source: source, limit: limit, kept: kept}
	if source == nil || length == 0 {
		b.ended = true
	}
}

// KeepIn has the body keep more than LoadMax only while there is room for it; to be called behind Reset.
func (b *Body) KeepIn(room *Room) { b.share = room }

func (b *Body) giveBack() {
	if b.taken > 0 {
		b.share.give(b.taken)
		b.taken = 0
	}
}

// Load reads the body whole if it is announced to be short enough.
func (b *Body) Load() error {
	if b.Length < 0 || b.Length > LoadMax {
		return nil
	}
	for !b.ended {
		if _, err := b.more(int(b.Length - b.total)); err != nil {
			return err
		}
	}
	return nil
}

// LoadWhole reads the whole body, of whatever announced length, and returns it: valid until Reset. One
// longer than most octets, which must be less than ReplayMax, is refused with ErrBodyTooLarge, one for which there
// is no room with ErrNoRoom.
func (b *Body) LoadWhole(most int) ([]byte, error) {
	for !b.ended {
		// One octet past the limit tells a body that is too long.
		if _, err := b.more(min(wholePiece, most+1-len(b.kept))); err != nil {
			return nil, err
		}
		if b.spilled {
			return nil, b.fail(ErrNoRoom)
		}
		if len(b.kept) > most {
			return nil, b.fail(ErrBodyTooLarge)
		}
	}
	return b.kept, nil
}

// Replayable reports whether all that was read is still there to be sent again.
func (b *Body) Replayable() bool { return !b.lost.Load() }

// Err is why the source failed: ErrBodyTooLarge, or its own error.
func (b *Body) Err() error { return b.err }

// more reads on and returns the new octets: they are valid until the next call. At the end there
// are none and no error.
func (b *Body) more(most int) ([]byte, error) {
	room := b.room(most)
	n, err := b.source.Read(room)
	if b.total += int64(n); b.total > b.limit {
		return nil, b.fail(ErrBodyTooLarge)
	}
	if !b.spilled {
		b.kept = b.kept[:len(b.kept)+n]
	}
	switch {
	case b.total == b.Length:
		b.ended = true
	case err == io.EOF && b.Length >= 0:
		return nil, b.fail(io.ErrUnexpectedEOF)
	case err == io.EOF:
		b.ended = true
		if source, may := b.source.(trailed); may {
			b.late = source.Trailers()
		}
	case err != nil:
		return nil, b.fail(err)
	}
	return room[:n], nil
}

// room is where to read to: behind what is kept or, when that has spilled, over it.
func (b *Body) room(most int) []byte {
	if !b.spilled && (len(b.kept)+most > ReplayMax || !b.grow(len(b.kept)+most)) {
		b.spill()
	}
	if b.spilled {
		return b.kept[:min(most, cap(b.kept))]
	}
	return b.kept[len(b.kept) : len(b.kept)+most]
}

// grow makes room for so many octets to be kept; false if there is none.
func (b *Body) grow(want int) bool {
	if want <= cap(b.kept) {
		return true
	}
	most := LoadMax
	if want > LoadMax {
		most = ReplayMax
	}
	size := min(max(want, 2*cap(b.kept), keptMin), most)
	if size > LoadMax && b.share != nil {
		if !b.share.take(size - b.taken) {
			return false
		}
		b.taken = size
	}
	b.kept = append(make([]byte, 0, size), b.kept...)
	return true
}

// spill keeps no more than it takes to read on.
func (b *Body) spill() {
	b.spilled = true
	b.lost.Store(true)
	if cap(b.kept) > keptCapMax || cap(b.kept) < spilledPiece {
		b.kept = make([]byte, 0, spilledPiece)
	}
	b.giveBack()
}

// fail notes why the source failed. What it says when nobody wants its rest is no reason for anything.
func (b *Body) fail(err error) error {
	if !b.unwanted.Load() {
		b.err = err
	}
	b.lost.Store(true)
	return err
}

func (b *Body) chunked() bool { return b.Length == wire.Chunked }

// appendEnd writes what ends a body in chunks.
func (b *Body) appendEnd(out []byte) []byte {
	return append(append(append(out, "0\r\n"...), b.late...), "\r\n"...)
}
