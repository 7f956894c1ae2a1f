package replication

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
	"github.com/stead-io/stead/nodesvc/replication/transfer"
)

const (
	offerPatience = 10 * time.Second // for an answer to an offer
	donePatience  = 2 * time.Minute  // for a state to be restored
	copyTriesMax  = 5                // connections that one copy outlives
	copyPause     = 200 * time.Millisecond
	copiesOpenMax = 32 // states held on to at once: most of them wait for the other node's disk
	restoresMax   = 64 // states being restored at once; others wait on the disk
)

var (
	errRefused   = errors.New("the other node refused")
	errSilent    = errors.New("the other node did not answer")
	errRestoring = errors.New("the slot is being restored")
	errCutShort  = errors.New("the copy was cut short")
)

// copies gives slots' states to other stores, a few at a time, and takes them.
type copies struct {
	engine *Engine
	opens  *transfer.Turns    // of copies from view to restored
	turns  *transfer.Turns    // of those, to be sent
	inward *transfer.Turns    // of those that came whole, to be restored
	pace   *transfer.Throttle // of what goes out
	intake *transfer.Throttle // of what comes in
	last   atomic.Uint64
	late   *lateAcks
	// sending: something was sent since housekeeping looked last
	sending atomic.Bool

	mu      sync.Mutex
	out     map[uint64]*copyOut
	running sync.WaitGroup
	open    context.Context // ends with the engine
	end     context.CancelFunc
}

// copyOut is one state on its way to a follower.
type copyOut struct {
	id       uint64
	slot     *slot
	to       member
	ctx      context.Context
	stop     context.CancelFunc
	view     View
	sender   *transfer.Sender
	offer    Offer
	sent     atomic.Uint64 // bytes
	replies  chan OfferReply
	restored chan ChunkAck

	breaking sync.Mutex
	onBreak  context.CancelFunc
}

func newCopies(engine *Engine) *copies {
	open, end := context.WithCancel(context.Background())
	c := &copies{
		open: open, end: end, engine: engine, out: make(map[uint64]*copyOut), late: &lateAcks{engine: engine},
		opens:  transfer.NewTurns(max(copiesOpenMax, engine.config.CopySlots), 1<<api.SlotBitsMax),
		turns:  transfer.NewTurns(engine.config.CopySlots, 1<<api.SlotBitsMax),
		inward: transfer.NewTurns(restoresMax, 1<<api.SlotBitsMax),
		pace:   transfer.NewThrottle(engine.config.CopyOut), intake: transfer.NewThrottle(engine.config.CopyIn),
	}
	c.last.Store(rand.Uint64()) // a receiver must not take the copy of another process for the one it has in part
	return c
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
	if c.open.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(c.open)
	out := &copyOut{
		id: c.last.Add(1), slot: s, to: f.member, ctx: ctx, stop: stop,
		replies: make(chan OfferReply, 1), restored: make(chan ChunkAck, 1),
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
		out.sender.Close()
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
	done, err := c.opens.Take(out.ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := out.take(); err != nil {
		return err
	}
	for range copyTriesMax {
		err = c.send(out)
		if err == nil || errors.Is(err, errRefused) || errors.Is(err, transfer.ErrStartOver) || out.ctx.Err() != nil {
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
	if err != nil {
		return err
	}
	out.view, out.sender = view, transfer.NewSender(view, s.engine.copies.pace)
	return nil
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
	h := s.lead.handover
	switch {
	case err == nil:
		f.need, f.given = false, out.offer.Seq
		s.begin(f)
		if h != nil {
			h.given = h.to == out.to
		}
	case out.ctx.Err() != nil:
	case !errors.Is(err, errSilent) && !errors.Is(err, transfer.ErrStartOver):
		f.block(err.Error(), time.Now())
		if s.engine.config.Frozen && h != nil {
			s.thaw(f, time.Now())
		}
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

// catchingUp is the first record that followers still need who were given a copy, or are sent the log, or none.
func (l *lead) catchingUp() (first seq, any bool) {
	for _, f := range l.followers {
		has := max(f.given, f.acked)
		if !f.need && (f.started || f.given > 0) && (!any || has < first) {
			first, any = has, true
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
			out.broke()
		}
	}
}

func (c *copies) close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.running.Wait()
}
