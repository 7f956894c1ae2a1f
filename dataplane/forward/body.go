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
)

// ErrBodyTooLarge refuses a body longer than its limit.
var ErrBodyTooLarge = errors.New("the body is larger than the limit")

// Body is the body of a request: read once from the client, kept up to ReplayMax.
type Body struct {
	// Length in octets, or wire.Chunked.
	Length int64

	source  io.Reader
	limit   int64
	total   int64  // octets read from the source
	kept    []byte // its first octets
	spilled bool   // more were read than are kept
	ended   bool   // the source was read to its end
	err     error  // why it could not be

	lost atomic.Bool // it has spilled or failed, which is looked at while an upload reads
}

// Reset makes the body that of another request. The source ends with io.EOF where the body does;
// more than limit octets are refused with ErrBodyTooLarge.
func (b *Body) Reset(source io.Reader, length, limit int64) {
	kept := b.kept[:0]
	if cap(kept) > keptCapMax {
		kept = nil
	}
	*b = Body{Length: length, source: source, limit: limit, kept: kept}
	if source == nil || length == 0 {
		b.ended = true
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
	case err != nil:
		return nil, b.fail(err)
	}
	return room[:n], nil
}

// room is where to read to: behind what is kept or, when that has spilled, over it.
func (b *Body) room(most int) []byte {
	if !b.spilled && len(b.kept)+most > ReplayMax {
		b.spilled = true
		b.lost.Store(true)
	}
	if b.spilled {
		return b.kept[:min(most, cap(b.kept))]
	}
	for cap(b.kept)-len(b.kept) < most {
		b.kept = append(b.kept[:cap(b.kept)], 0)[:len(b.kept)]
	}
	return b.kept[len(b.kept) : len(b.kept)+most]
}

func (b *Body) fail(err error) error {
	b.err = err
	b.lost.Store(true)
	return err
}

func (b *Body) chunked() bool { return b.Length == wire.Chunked }
