package replication

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication/peer"
)

// peer is the node's greeting on the present connection.
func (e *Engine) peer(node api.NodeID) (peer.Hello, bool) {
	if e.config.Network == nil {
		return peer.Hello{}, false
	}
	return e.config.Network.Peer(node)
}

// send queues a message for a node; false: it is not connected. Sending never blocks.
func (e *Engine) send(to api.NodeID, m message) bool {
	if e.config.Network == nil {
		return false
	}
	return e.config.Network.Send(to, m.kind(), m.append(nil)) == nil
}

// Linked hears that a node is connected; it implements peer.Handler with Lost and Receive.
func (e *Engine) Linked(from peer.Hello) {
	m := memberOf(from)
	e.each(func(s *slot) {
		s.linked(m)
		if s.concerns(m.Node) {
			e.attend(s)
		}
	})
}

// Lost hears that a connection ended.
func (e *Engine) Lost(from peer.Hello) {
	e.confirms.lost(from.Node)
	e.copies.lost(from.Node)
	e.each(func(s *slot) { s.lost(memberOf(from)) })
}

func memberOf(hello peer.Hello) member { return member{Node: hello.Node, Store: hello.Store} }

// concerns reports whether the store leads the slot and the node should hold it.
func (s *slot) concerns(node api.NodeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lead != nil && s.wants(node)
}

// Receive takes a frame. One that is malformed was not sent by this protocol, and is ignored with a word.
func (e *Engine) Receive(from peer.Hello, kind uint8, body []byte) {
	var err error
	m := memberOf(from)
	switch kind {
	case kindStart:
		err = deliver(e, body, func(s *slot, start Start) { s.onStart(m, start) })
	case kindStarted:
		err = deliver(e, body, func(s *slot, started Started) { s.onStarted(m, started) })
	case kindAppend:
		err = deliver(e, body, func(s *slot, records Append) { s.onAppend(m, records) })
	case kindAck:
		err = deliver(e, body, func(s *slot, ack Ack) { s.onAck(m, ack) })
	case kindStale:
		err = deliver(e, body, func(s *slot, stale Stale) { s.onStale(stale) })
	case kindSeal:
		err = deliver(e, body, func(s *slot, seal Seal) { s.onSeal(m, seal) })
	case kindOpened:
		err = deliver(e, body, func(s *slot, opened Opened) { s.onOpened(m, opened) })
	case kindCommits:
		err = e.receiveCommits(m, body)
	case kindConfirm:
		err = receive(body, func(asked Confirm) { e.onConfirm(from.Node, asked) })
	case kindConfirmed:
		err = receive(body, func(given Confirmed) { e.confirms.onConfirmed(from.Node, given) })
	case kindOffer, kindOfferReply, kindChunk, kindChunkAck:
		err = e.copies.receive(m, kind, body)
	}
	if err != nil {
		e.logger.Warn("a malformed message", "from", from.Node, "kind", kind, "error", err)
	}
}

func (e *Engine) receiveCommits(from member, body []byte) error {
	return receive(body, func(told Commits) {
		for _, commit := range told.Slots {
			if int(commit.Slot) < len(e.slots) {
				e.slot(commit.Slot).onCommit(from, commit)
			}
		}
	})
}

// slotted is a message about one slot.
type slotted interface{ about() api.Slot }

func (m SlotEpoch) about() api.Slot { return m.Slot }

// deliver reads a message about a slot and gives it to f.
func deliver[M slotted, P interface {
	*M
	read(*reader)
}](e *Engine, body []byte, f func(*slot, M)) error {
	m, err := decode[M, P](body)
	if err != nil {
		return err
	}
	if int(m.about()) >= len(e.slots) {
		return errMalformed
	}
	f(e.slot(m.about()), m)
	return nil
}

// receive reads a message about many slots, or none, and gives it to f.
func receive[M any, P interface {
	*M
	read(*reader)
}](body []byte, f func(M)) error {
	m, err := decode[M, P](body)
	if err == nil {
		f(m)
	}
	return err
}
