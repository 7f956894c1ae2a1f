package transfer

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// errStopped ends the writing of a state that nobody sends any more.
var errStopped = errors.New("the sender was closed")

// Sender sends one state, over as many connections as it takes.
type Sender struct {
	throttle *Throttle
	cut      chan *chunk // from the goroutine that has the state written
	stop     chan struct{}
	ended    chan struct{} // closed when that goroutine has; failed is set then
	failed   error
	once     sync.Once

	window []*chunk // not acknowledged; of Send
	sent   int      // how many of them went out on the present connection
	next   uint64   // where the chunk behind the window begins
	whole  bool     // the last chunk was cut

	mu    sync.Mutex
	acked Progress
	moved chan struct{} // has an element when acked rose
}

// NewSender begins to write state, as far as there is room to hold it. Close must be called; it does not close
// the state.
func NewSender(state io.WriterTo, throttle *Throttle) *Sender {
	s := &Sender{
		throttle: throttle, cut: make(chan *chunk), stop: make(chan struct{}), ended: make(chan struct{}),
		moved: make(chan struct{}, 1),
	}
	go s.write(state)
	return s
}

func (s *Sender) write(state io.WriterTo) {
	defer close(s.ended)
	cutter := &cutter{to: s}
	if _, err := state.WriteTo(cutter); err != nil {
		s.failed = fmt.Errorf("cannot read the state: %w", err)
		return
	}
	s.failed = cutter.finish()
}

// Send sends what the receiver, which has got as far as from, does not have. It returns once the receiver has
// acknowledged everything; earlier if ctx ends, if out fails, with ErrStartOver or because the state could not be
// read. It waits for acknowledgements as long as it takes: an owner that hears that the receiver is gone, or
// wants to begin elsewhere, ends ctx. After an error of out or ctx Send may be called again; after the others the
// sender is of no use any more. Calls do not overlap.
func (s *Sender) Send(ctx context.Context, from Progress, out func(context.Context, []byte) error) error {
	if err := s.resume(from); err != nil {
		return err
	}
	for {
		if s.release() {
			return nil
		}
		if s.sent < len(s.window) {
			if err := s.sendChunk(ctx, s.window[s.sent], out); err != nil {
				return err
			}
			s.sent++
			continue
		}
		if err := s.await(ctx); err != nil {
			return err
		}
	}
}

// Acked takes note of what the receiver acknowledged. It does not block.
func (s *Sender) Acked(progress Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if progress.Cursor < s.acked.Cursor || s.acked.Done {
		return
	}
	s.acked = progress
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// Close ends the sender, and returns once nothing is written any more.
func (s *Sender) Close() {
	s.once.Do(func() { close(s.stop) })
	<-s.ended
}

// resume goes back to where the receiver is, which may have got more than it could acknowledge.
func (s *Sender) resume(from Progress) error {
	s.mu.Lock()
	s.acked = from
	s.mu.Unlock()
	s.sent = len(s.window)
	done := s.release()
	s.sent = 0
	at := s.next
	if len(s.window) > 0 {
		at = s.window[0].cursor
	}
	if from.Cursor != at || from.Done != done {
		return fmt.Errorf("cannot send from %d on: %w", from.Cursor, ErrStartOver)
	}
	return nil
}

// release lets go of what was acknowledged, and reports whether that is all.
func (s *Sender) release() bool {
	s.mu.Lock()
	acked := s.acked
	s.mu.Unlock()
	for s.sent > 0 && s.window[0].end() <= acked.Cursor && (!s.window[0].last || acked.Done) {
		s.window = s.window[1:]
		s.sent--
	}
	return s.whole && len(s.window) == 0
}

func (s *Sender) sendChunk(ctx context.Context, c *chunk, out func(context.Context, []byte) error) error {
	return c.frames(func(body []byte) error {
		if err := s.throttle.Wait(ctx, len(body)); err != nil {
			return err
		}
		return out(ctx, body)
	})
}

// await waits for an acknowledgement, or for another chunk if there is room for it.
func (s *Sender) await(ctx context.Context) error {
	cut, ended := s.cut, s.ended
	if s.whole {
		cut, ended = nil, nil
	}
	if len(s.window) == windowMax {
		cut = nil
	}
	select {
	case c := <-cut:
		s.window = append(s.window, c)
		s.next, s.whole = c.end(), c.last
		return nil
	case <-s.moved:
		return nil
	case <-ended:
		return s.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cutter makes chunks of what a state writes.
type cutter struct {
	to     *Sender
	cursor uint64
	sum    uint32
	data   []byte
}

// Write waits until the sender takes full chunks.
func (c *cutter) Write(p []byte) (written int, err error) {
	for written < len(p) {
		if c.data == nil {
			c.data = make([]byte, 0, ChunkSize)
		}
		n := min(len(p)-written, ChunkSize-len(c.data))
		c.data = append(c.data, p[written:written+n]...)
		written += n
		if len(c.data) == ChunkSize {
			if err := c.emit(false); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (c *cutter) finish() error { return c.emit(true) }

func (c *cutter) emit(last bool) error {
	c.sum = crc32.Update(c.sum, castagnoli, c.data)
	out := &chunk{cursor: c.cursor, sum: c.sum, last: last, data: c.data}
	select {
	case c.to.cut <- out:
		c.cursor, c.data = out.end(), nil
		return nil
	case <-c.to.stop:
		return errStopped
	}
}
