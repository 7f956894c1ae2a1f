package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stead-io/stead/nodesvc/replication/transfer"
)

// send offers the state, sends what the other node does not have of it, and waits until it is restored there.
// Only sending needs a turn: while one state is being made durable, others are on their way.
func (c *copies) send(out *copyOut) error {
	sent := c.sendInTurn(out)
	if sent != nil && !errors.Is(sent, errCutShort) {
		return sent
	}
	patience := donePatience
	if sent != nil {
		patience = 0 // the other node may have said why
	}
	ack, err := await(out.ctx, out.restored, patience)
	switch {
	case err != nil:
		return errors.Join(sent, err)
	case ack.Refusal != "":
		return fmt.Errorf("%w: %s", errRefused, ack.Refusal)
	case !ack.Restored:
		return errSilent
	default:
		return nil
	}
}

// sendInTurn waits for a turn, offers the state and sends it.
func (c *copies) sendInTurn(out *copyOut) error {
	done, err := c.turns.Take(out.ctx)
	if err != nil {
		return err
	}
	defer done()
	offer, err := out.offerNow()
	if err != nil {
		return err
	}
	drain(out.replies)
	drain(out.restored)
	if !c.engine.send(out.to.Node, offer) {
		return errSilent
	}
	reply, err := await(out.ctx, out.replies, offerPatience)
	switch {
	case err != nil:
		return err
	case reply.Refusal == notNow:
		return errSilent
	case reply.Refusal != "":
		return fmt.Errorf("%w: %s", errRefused, reply.Refusal)
	}
	if err := out.sendFrom(transfer.Progress{Cursor: reply.Cursor, Done: reply.Whole}); err != nil {
		return fmt.Errorf("%w: %w", errCutShort, err)
	}
	return nil
}

// offerNow is the offer in the present epoch.
func (out *copyOut) offerNow() (Offer, error) {
	s := out.slot
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil {
		return Offer{}, errSilent
	}
	offer := out.offer
	offer.SlotEpoch = s.inEpoch(s.lead.epoch)
	return offer, nil
}

// sendFrom sends the state behind what has arrived. It ends when the connection does.
func (out *copyOut) sendFrom(from transfer.Progress) error {
	engine := out.slot.engine
	ctx, cancel := context.WithCancel(out.ctx)
	defer cancel()
	out.setBreak(cancel)
	defer out.setBreak(nil)
	return out.sender.Send(ctx, from, func(ctx context.Context, frame []byte) error {
		m := Chunk{Slot: out.slot.number, Copy: out.id, Frame: frame}
		if err := engine.config.Network.SendBulk(ctx, out.to.Node, m.kind(), m.append(nil)); err != nil {
			return err
		}
		engine.copies.sending.Store(true)
		engine.count.bytesOut.Add(uint64(len(frame)))
		out.sent.Add(uint64(len(frame)))
		return nil
	})
}

// setBreak says how to end sending when the connection is lost.
func (out *copyOut) setBreak(cancel context.CancelFunc) {
	out.breaking.Lock()
	defer out.breaking.Unlock()
	out.onBreak = cancel
}

// broke ends everything that waits for the other node.
func (out *copyOut) broke() {
	out.breaking.Lock()
	defer out.breaking.Unlock()
	offer(out.restored, ChunkAck{}) // neither restored nor refused
	offer(out.replies, OfferReply{Refusal: notNow})
	if out.onBreak != nil {
		out.onBreak()
	}
}

// acked takes an acknowledgement. A refusal, or a wish to be offered the state again, ends sending.
func (out *copyOut) acked(m ChunkAck) {
	switch {
	case m.Restored:
		offer(out.restored, m)
	case m.Refusal != "" || m.Cursor == 0 && !m.Whole:
		offer(out.restored, m)
		out.broke()
	default:
		out.sender.Acked(transfer.Progress{Cursor: m.Cursor, Done: m.Whole})
	}
}

// offer puts an answer where somebody may wait for it.
func offer[M any](to chan M, m M) {
	select {
	case to <- m:
	default:
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
	}
	select { // of two that are ready, select takes either
	case m = <-replies:
		return m, nil
	default:
		return m, errSilent
	}
}
