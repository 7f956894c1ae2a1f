package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

const (
	offerPatience = 10 * time.Second // for an answer to an offer
	donePatience  = 2 * time.Minute  // for a state to be restored
	copyTriesMax  = 5                // connections that one copy outlives
	copyPause     = 200 * time.Millisecond
)

var (
	errRefused   = errors.New("the other node refused")
	errSilent    = errors.New("the other node did not answer")
	errRestoring = errors.New("the slot is being restored")
)

// copies gives slots' states to other stores, a few at a time, and takes them.
type copies struct {
	engine *Engine
	turns  chan struct{} // as many as copies may go out at once
	pace   pace
	last   atomic.Uint64

	mu      sync.Mutex
	out     map[uint64]*copyOut
	running sync.WaitGroup
	closed  bool
}

// copyOut is one state on its way to a follower.
type copyOut struct {
	id      uint64
	slot    *slot
	to      member
	ctx     context.Context
	stop    context.CancelFunc
	view    View
	offer   Offer
	size    atomic.Uint64 // bytes, as far as known
	sent    atomic.Uint64 // bytes
	replies chan OfferReply
	acks    chan ChunkAck
}

func newCopies(engine *Engine) *copies {
	return &copies{
		engine: engine, turns: make(chan struct{}, engine.config.CopySlots), out: make(map[uint64]*copyOut),
		pace: pace{rate: engine.config.CopyOut},
	}
}

// cancel ends the copy; a nil one is over already.
func (c *copyOut) cancel() {
	if c != nil {
		c.stop()
	}
}

// beginCopy has the slot's state given to a follower. The slot is locked.
func (s *slot) beginCopy(f *follower) {
	c := s.engine.copies
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	out := &copyOut{
		id: c.last.Add(1), slot: s, to: f.member, ctx: ctx, stop: stop,
		replies: make(chan OfferReply, 1), acks: make(chan ChunkAck, 1),
	}
	f.copy = out
	c.out[out.id] = out
	c.running.Go(func() { c.give(out) })
}

// give waits for a turn and copies, over as many connections as it takes.
func (c *copies) give(out *copyOut) {
	defer out.stop()
	err := c.withTurn(out)
	c.mu.Lock()
	delete(c.out, out.id)
	c.mu.Unlock()
	if out.view != nil {
		err = errors.Join(err, out.view.Close())
	}
	if err == nil {
		c.engine.count.copiesOut.Add(1)
	} else if out.ctx.Err() == nil {
		c.engine.logger.Info("a copy came to nothing", "slot", out.slot.number, "to", out.to.Node, "error", err)
	}
	out.slot.copied(out, err)
}

func (c *copies) withTurn(out *copyOut) error {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-out.ctx.Done():
		return out.ctx.Err()
	}
	if err := out.take(); err != nil {
		return err
	}
	var err error
	for range copyTriesMax {
		if err = c.send(out); err == nil || errors.Is(err, errRefused) || out.ctx.Err() != nil {
			return err
		}
		select {
		case <-out.ctx.Done():
		case <-time.After(copyPause):
		}
	}
	return err
}

// take holds on to the slot's state as it is now. Records behind it stay in the log until the copy is over.
func (out *copyOut) take() error {
	s := out.slot
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.restoring != nil {
		return errRestoring
	}
	s.mu.Lock()
	out.offer = Offer{Copy: out.id, Seq: s.applied, Digest: s.appliedTip, History: s.metaCopy().History}
	s.mu.Unlock()
	view, err := s.engine.view(s.number)
	out.view = view
	return err
}

// view shows a slot's state as it is now. Apply waits meanwhile.
func (e *Engine) view(number api.Slot) (View, error) {
	if viewer, can := e.config.Service.(Viewer); can {
		return viewer.View(number)
	}
	spool, err := e.config.Log.Spool()
	if err != nil {
		return nil, err
	}
	if err := e.config.Service.Snapshot(number, spool); err != nil {
		return nil, errors.Join(err, spool.Close())
	}
	return spooled{spool}, nil
}

// spooled is a state that was written aside.
type spooled struct{ slotlog.Spool }

// WriteTo writes the state.
func (s spooled) WriteTo(w io.Writer) (int64, error) {
	r, err := s.Reader()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(w, r)
}

// send offers the state and sends what the other node does not have of it.
func (c *copies) send(out *copyOut) error {
	offer := out.offer
	s := out.slot
	s.mu.Lock()
	if s.lead == nil {
		s.mu.Unlock()
		return errSilent
	}
	offer.SlotEpoch = s.inEpoch(s.lead.epoch)
	s.mu.Unlock()
	if spool, sized := out.view.(spooled); sized {
		offer.Size = uint64(spool.Size())
	}
	drain(out.replies)
	drain(out.acks)
	if !c.engine.send(out.to.Node, offer) {
		return errSilent
	}
	reply, err := await(out.ctx, out.replies, offerPatience)
	switch {
	case err != nil:
		return err
	case reply.Refusal != "":
		return fmt.Errorf("%w: %s", errRefused, reply.Refusal)
	}
	chunks := &chunker{copies: c, out: out, skip: reply.Cursor}
	if _, err := out.view.WriteTo(chunks); err != nil {
		return err
	}
	if err := chunks.finish(); err != nil {
		return err
	}
	ack, err := await(out.ctx, out.acks, donePatience)
	switch {
	case err != nil:
		return err
	case ack.Refusal != "":
		return fmt.Errorf("%w: %s", errRefused, ack.Refusal)
	case !ack.Done:
		return errSilent
	default:
		return nil
	}
}

func drain[M any](replies chan M) {
	select {
	case <-replies:
	default:
	}
}

func await[M any](ctx context.Context, replies <-chan M, patience time.Duration) (m M, err error) {
	select {
	case m = <-replies:
		return m, nil
	case <-ctx.Done():
		return m, ctx.Err()
	case <-time.After(patience):
		return m, errSilent
	}
}

// chunker cuts a state into frames, without what the receiver has already.
type chunker struct {
	copies *copies
	out    *copyOut
	skip   uint64
	cursor uint64
	held   []byte
}

// Write implements io.Writer.
func (w *chunker) Write(data []byte) (int, error) {
	written := len(data)
	if w.skip > 0 {
		n := min(w.skip, uint64(len(data)))
		w.skip, w.cursor, data = w.skip-n, w.cursor+n, data[n:]
	}
	for len(data) > 0 {
		n := min(len(data), chunkDataMax-len(w.held))
		w.held, data = append(w.held, data[:n]...), data[n:]
		if len(w.held) == chunkDataMax {
			if err := w.flush(false); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (w *chunker) finish() error { return w.flush(true) }

func (w *chunker) flush(last bool) error {
	engine := w.copies.engine
	if err := w.copies.pace.wait(w.out.ctx, len(w.held)); err != nil {
		return err
	}
	m := Chunk{Slot: w.out.slot.number, Copy: w.out.id, Cursor: w.cursor, Last: last, Data: w.held}
	if err := engine.config.Network.SendBulk(w.out.ctx, w.out.to.Node, m.kind(), m.append(nil)); err != nil {
		return err
	}
	w.cursor += uint64(len(w.held))
	engine.count.bytesOut.Add(uint64(len(w.held)))
	w.out.sent.Store(w.cursor)
	w.held = w.held[:0]
	return nil
}

// copied notes that a copy is over.
func (s *slot) copied(out *copyOut, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil {
		return
	}
	f := s.lead.followers[out.to]
	if f == nil || f.copy != out {
		return
	}
	f.copy = nil
	if errors.Is(err, errRefused) {
		f.blocked, f.blockedUntil = err.Error(), time.Now().Add(blockedFor)
	}
	if err == nil {
		f.need = false
		s.begin(f)
	}
	s.engine.attend(s)
}

// pinned is the first record that copies under way will need, or none.
func (l *lead) pinned() (first seq, any bool) {
	for _, f := range l.followers {
		if f.copy != nil && (!any || f.copy.offer.Seq < first) {
			first, any = f.copy.offer.Seq, true
		}
	}
	return first, any
}

// lost ends waiting for answers of a node.
func (c *copies) lost(node api.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, out := range c.out {
		if out.to.Node == node {
			select {
			case out.acks <- ChunkAck{}: // neither done nor refused
			default:
			}
		}
	}
}

// left is how many bytes the copies under way have to go, as far as known.
func (c *copies) left() (bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, out := range c.out {
		if size, sent := out.size.Load(), out.sent.Load(); size > sent {
			bytes += size - sent
		}
	}
	return bytes
}

func (c *copies) close() {
	c.mu.Lock()
	c.closed = true
	for _, out := range c.out {
		out.stop()
	}
	c.mu.Unlock()
	c.running.Wait()
}
