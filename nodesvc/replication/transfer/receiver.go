package transfer

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Spool is where a receiver keeps what arrived. slotlog makes them.
type Spool interface {
	io.Writer
	Reader() (io.ReadCloser, error)
	Close() error // and remove
}

// Receiver takes one state. Its methods are not called at the same time.
type Receiver struct {
	spool    Spool
	progress Progress
	sum      uint32 // of what arrived whole
	partial  []byte // of the chunk that is arriving
	head     frame  // of that chunk; without data
	broken   error  // the spool failed
}

// NewReceiver keeps a state in spool, which is the receiver's from then on.
func NewReceiver(spool Spool) *Receiver { return &Receiver{spool: spool} }

// Resume is what a sender is told on a new connection: it sends from there on.
func (r *Receiver) Resume() Progress {
	r.partial = nil
	return r.progress
}

// Take takes a frame. moved says that it completed a chunk, which is to be acknowledged with progress. After an
// error the sender must begin again at Resume, or the copy ends.
func (r *Receiver) Take(body []byte) (progress Progress, moved bool, err error) {
	if r.broken != nil {
		return r.progress, false, r.broken
	}
	f, err := readFrame(body)
	if err == nil {
		err = r.follows(f)
	}
	if err != nil {
		return r.progress, false, err
	}
	r.partial = append(r.partial, f.data...)
	if len(r.partial) < int(f.size) {
		return r.progress, false, nil
	}
	err = r.complete()
	return r.progress, err == nil, err
}

// follows checks that a frame is the next piece of the chunk that is arriving, or the first of the next one.
func (r *Receiver) follows(f frame) error {
	if r.progress.Done || f.cursor != r.progress.Cursor || int(f.offset) != len(r.partial) {
		return fmt.Errorf("cannot take the chunk at %d, octet %d: %w", f.cursor, f.offset, ErrOutOfStep)
	}
	head := f
	head.data, head.offset = nil, 0
	if len(r.partial) == 0 {
		r.head = head
		r.partial = make([]byte, 0, f.size)
		return nil
	}
	if head.size != r.head.size || head.sum != r.head.sum || head.last != r.head.last {
		return fmt.Errorf("cannot take octet %d of the chunk at %d: %w", f.offset, f.cursor, ErrOutOfStep)
	}
	return nil
}

// complete checks the chunk and keeps it.
func (r *Receiver) complete() error {
	data := r.partial
	r.partial = nil
	sum := crc32.Update(r.sum, castagnoli, data)
	if sum != r.head.sum {
		return fmt.Errorf("cannot take the chunk at %d: %w", r.head.cursor, ErrDamaged)
	}
	if _, err := r.spool.Write(data); err != nil {
		r.broken = fmt.Errorf("cannot keep the chunk at %d: %w", r.head.cursor, err)
		return r.broken
	}
	r.sum = sum
	r.progress = Progress{Cursor: r.progress.Cursor + uint64(len(data)), Done: r.head.last}
	return nil
}

// Whole reads the state once all of it arrived; size is in bytes, sum its CRC-32C. What the spool gives back is
// checked once more: the reader ends with ErrDamaged in place of io.EOF if it is not what arrived.
func (r *Receiver) Whole() (state io.ReadCloser, size uint64, sum uint32, err error) {
	if !r.progress.Done {
		return nil, 0, 0, errors.New("cannot read the state: it has not arrived whole")
	}
	spooled, err := r.spool.Reader()
	if err != nil {
		return nil, 0, 0, err
	}
	return &checked{ReadCloser: spooled, left: r.progress.Cursor, want: r.sum}, r.progress.Cursor, r.sum, nil
}

// Close removes what arrived.
func (r *Receiver) Close() error { return r.spool.Close() }

// checked reads as many octets as there should be, and compares their checksum.
type checked struct {
	io.ReadCloser
	left uint64
	sum  uint32
	want uint32
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum = crc32.Update(c.sum, castagnoli, p[:n])
	if uint64(n) > c.left {
		return 0, ErrDamaged
	}
	c.left -= uint64(n)
	if errors.Is(err, io.EOF) && (c.left > 0 || c.sum != c.want) {
		return n, ErrDamaged
	}
	return n, err
}
