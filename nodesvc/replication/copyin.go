package replication

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/transfer"
)

// incomingPatience is how long a copy that was begun waits for the rest.
const incomingPatience = time.Minute

// notNow refuses a copy for a reason that passes by itself.
const notNow = "not now"

// diskNearlyFull refuses a copy, and keeps a replica that has no room from joining.
const diskNearlyFull = "its disk is nearly full"

// copyIn is a state that is being received.
type copyIn struct {
	from      member
	offer     Offer
	state     *transfer.Receiver
	heard     time.Time
	restoring bool
}

// receive takes the messages of copying.
func (c *copies) receive(from member, kind uint8, body []byte) error {
	e := c.engine
	switch kind {
	case kindOffer:
		return deliver(e, body, func(s *slot, offer Offer) {
			have, refusal := s.onOffer(from, offer)
			e.send(from.Node, OfferReply{Slot: s.number, Copy: offer.Copy, Cursor: have.Cursor, Whole: have.Done, Refusal: refusal})
		})
	case kindChunk:
		return receive(body, func(m Chunk) {
			if int(m.Slot) < len(e.slots) {
				e.slot(m.Slot).onChunk(from, m)
			}
		})
	case kindOfferReply:
		return receive(body, func(m OfferReply) {
			c.with(m.Copy, func(out *copyOut) { offer(out.replies, m) })
		})
	default:
		return receive(body, func(m ChunkAck) { c.with(m.Copy, func(out *copyOut) { out.acked(m) }) })
	}
}

// with calls f with a copy that has a view by now; an answer that nobody waits for is late.
func (c *copies) with(id uint64, f func(*copyOut)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if out := c.out[id]; out != nil {
		f(out)
	}
}

// onOffer decides whether to take a copy, and from where on.
func (s *slot) onOffer(from member, offer Offer) (have transfer.Progress, refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case offer.Epoch != s.meta.Adopted || s.follow.primary != from || s.lead != nil:
		return have, notNow
	case s.config.InSync(s.engine.config.Self):
		return have, notNow // what is in sync does not give up what it has
	case s.changing():
		return have, notNow
	case s.engine.diskFull() || !s.engine.hasRoom(offer.Size):
		return have, diskNearlyFull
	}
	if in := s.incoming; in != nil && in.from == from && in.offer.Copy == offer.Copy {
		in.heard = time.Now()
		return in.state.Resume(), ""
	}
	s.dropIncoming()
	spool, err := s.engine.config.Log.Spool()
	if err != nil {
		return have, "it cannot make a file: " + err.Error()
	}
	s.incoming = &copyIn{from: from, offer: offer, state: transfer.NewReceiver(spool), heard: time.Now()}
	return have, ""
}

func (s *slot) dropIncoming() {
	if s.incoming != nil {
		_ = s.incoming.state.Close()
		s.incoming = nil
	}
}

// onChunk takes a part of the state; with the last one the state is restored.
func (s *slot) onChunk(from member, m Chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.incoming
	if in == nil || in.from != from || in.offer.Copy != m.Copy || in.restoring {
		s.engine.send(from.Node, ChunkAck{Slot: s.number, Copy: m.Copy}) // it is to offer again
		return
	}
	in.heard = time.Now()
	have, moved, err := in.state.Take(m.Frame)
	switch {
	case errors.Is(err, transfer.ErrOutOfStep) || errors.Is(err, transfer.ErrDamaged):
		s.engine.send(from.Node, ChunkAck{Slot: s.number, Copy: m.Copy})
		return
	case err != nil:
		s.engine.logger.Warn("cannot keep a copy", "slot", s.number, "error", err)
		s.dropIncoming()
		s.engine.send(from.Node, ChunkAck{Slot: s.number, Copy: m.Copy, Refusal: "it cannot keep the state: " + err.Error()})
		return
	}
	s.engine.count.bytesIn.Add(uint64(len(m.Frame)))
	pause := s.engine.copies.intake.Reserve(len(m.Frame))
	if moved {
		s.engine.copies.late.add(pause, from.Node, ChunkAck{Slot: s.number, Copy: m.Copy, Cursor: have.Cursor, Whole: have.Done})
	}
	if have.Done {
		in.restoring = true
		s.engine.copies.restore(func() { s.restoreCopy(in) })
	}
}

// restore runs f beside the workers, when it is its turn; the engine's end waits for it.
func (c *copies) restore(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Err() != nil {
		return
	}
	c.running.Go(func() {
		done, err := c.inward.Take(c.open)
		if err != nil {
			return // the engine ends
		}
		defer done()
		f()
	})
}

// restoreCopy puts the state that was received in place of what the store had, and says so.
func (s *slot) restoreCopy(in *copyIn) {
	err := s.mayReplace()
	if err == nil {
		err = s.replaceState(in.offer.Seq, in.offer.Digest, in.offer.History, func() (io.ReadCloser, error) {
			state, _, _, err := in.state.Whole()
			return state, err
		})
	}
	if errors.Is(err, ErrBroken) {
		s.engine.fail(err)
	}
	s.mu.Lock()
	s.dropIncoming()
	if err == nil {
		s.follow.started, s.follow.answered = false, true
	}
	s.resume()
	s.mu.Unlock()
	ack := ChunkAck{Slot: s.number, Copy: in.offer.Copy, Whole: true, Restored: err == nil}
	if err != nil {
		s.engine.logger.Warn("cannot restore a copy", "slot", s.number, "error", err)
		ack.Refusal = "it cannot restore the state: " + err.Error()
	} else {
		s.engine.count.copiesIn.Add(1)
	}
	s.engine.send(in.from.Node, ack)
	s.engine.attend(s) // it may have come to be unwanted meanwhile
}

var errInSync = errors.New("what is in sync does not give up what it has")

// mayReplace refuses to put a copy in place of what has come to be in sync since it was offered.
func (s *slot) mayReplace() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.InSync(s.engine.config.Self) {
		return errInSync
	}
	return nil
}

// replaceState makes the store's state of the slot that after record at, and its log begin there. While that is
// going on the log says that there is no state: a crash leaves nothing behind that could be taken for one.
func (s *slot) replaceState(at seq, digest uint64, history []ownership.EpochStart, state func() (io.ReadCloser, error)) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if err := s.emptyLog(); err != nil {
		return err
	}
	r, err := state()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := s.engine.restoreService(s.number, at, digest, r, state); err != nil {
		return errors.Join(err, s.dropState())
	}
	return s.beginLog(at, digest, history)
}

// dropState deletes the service's state, and what the log keeps of it. Where that fails nobody knows what is left.
func (s *slot) dropState() error {
	err := errors.Join(s.engine.config.Service.Drop(s.number), s.engine.config.Log.DropState(s.number))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return nil
}

// emptyLog removes the log and everything that says there is a state, durably.
func (s *slot) emptyLog() error {
	return s.resetLog(func() {
		s.meta.Held, s.meta.History, s.meta.Base, s.meta.Digest = false, nil, 0, 0
		s.last, s.tip, s.commit, s.applied, s.tail, s.appliedTip = 0, 0, 0, 0, nil, 0
	})
}

// beginLog has the log follow a state, durably.
func (s *slot) beginLog(at seq, digest uint64, history []ownership.EpochStart) error {
	return s.resetLog(func() {
		s.meta.Held, s.meta.History, s.meta.Base, s.meta.Digest = true, history, at, digest
		s.last, s.tip, s.commit, s.applied, s.tail, s.appliedTip = at, digest, at, at, nil, digest
	})
}

// resetLog changes what the slot is and resets its log to that. It waits for the disk.
func (s *slot) resetLog(change func()) error {
	done := make(chan error, 1)
	s.mu.Lock()
	change()
	s.durable = s.last
	cut := s.written.truncated(0)
	last, epoch := s.last, s.meta.Adopted
	s.engine.config.Log.Reset(s.number, s.metaCopy(), func(err error) {
		if err == nil {
			s.written.reached(cut, last)
			s.written.adoptedUpTo(epoch)
		}
		done <- err
	})
	s.mu.Unlock()
	if err := <-done; err != nil {
		return fmt.Errorf("cannot reset the log of slot %d: %w", s.number, err)
	}
	return nil
}

// restoreService gives the service a state.
func (e *Engine) restoreService(number api.Slot, at seq, digest uint64, r io.Reader, again func() (io.ReadCloser, error)) error {
	if durable, keeps := e.config.Service.(Durable); keeps {
		return durable.RestoreAt(number, at, r)
	}
	if err := e.config.Service.Restore(number, r); err != nil || e.config.Volatile {
		return err
	}
	return e.config.Log.SaveState(number, at, digest, func(w io.Writer) error {
		state, err := again()
		if err != nil {
			return err
		}
		defer state.Close()
		_, err = io.Copy(w, state)
		return err
	})
}

// mayRelease reports whether what the store has of the slot is to be deleted: the control plane said so, in an
// epoch above all in which the store acknowledged anything. The slot is locked.
func (s *slot) mayRelease() bool {
	has := s.meta.Held || s.last > 0 || s.incoming != nil
	return has && !s.releasing && s.read > 0 && max(s.read, s.engine.heard.Load()) >= s.engine.since() && s.config.Epoch >= s.meta.Adopted && !s.unreported(s.config.Epoch) &&
		(s.incoming == nil || !s.incoming.restoring) &&
		ownership.MayDelete(s.config, s.engine.config.Self, s.wants(s.engine.config.Self.Node), s.meta.Acked)
}

// release deletes what the store has of the slot. The epoch that allows it outlives the data.
func (s *slot) release() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	if s.releasing = false; !s.mayRelease() {
		s.resume()
		s.mu.Unlock()
		return nil
	}
	s.releasing = true
	s.dropIncoming()
	s.adopt(s.config)
	s.mu.Unlock()
	err := s.emptyLog()
	if err == nil {
		err = s.dropState()
	}
	if err != nil {
		return fmt.Errorf("cannot delete slot %d: %w", s.number, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releasing = false
	s.resume()
	return nil
}
