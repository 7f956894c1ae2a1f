package replication

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

const (
	backOffsMax   = 5 // after so many a slot is sealed whoever is inside
	backOffFirst  = 50 * time.Millisecond
	sealPatience  = 3 * time.Second // that a sealed slot waits before it asks to be opened again
	handOverPause = time.Second     // between a hand-over that came to nothing and the next
)

// handOversAtOnce is how many slots may be on their way to another primary.
func handOversAtOnce(config Config) int {
	if config.Frozen {
		return config.CopySlots // a frozen slot must not wait for its turn to be copied
	}
	return handOversMax
}

// handover is a slot on its way to another primary: no request is let in, then nothing more is served.
type handover struct {
	to       member
	leave    func() // the gate
	shut     bool   // requests wait
	shutAt   time.Time
	closed   bool // what has not appended by now fails
	given    bool // without a log: the copy is made
	sealed   bool // irrevocable but by a higher epoch
	sealedAt time.Time
}

// sealed is a primary's promise to this store to serve no more in an epoch.
type sealed struct {
	from  api.NodeID
	epoch api.Epoch
	last  seq
}

// handOver begins to drain the slot for another primary.
func (s *slot) handOver(to member, now time.Time) {
	l := s.lead
	if now.Before(s.retryAt) {
		return
	}
	leave := s.engine.handOvers.enter(s)
	if leave == nil {
		return
	}
	l.handover = &handover{to: to, leave: leave, shut: true, shutAt: now, closed: s.backOffs >= backOffsMax}
	l.sections.empty = func() { s.engine.attend(s) }
	s.announce()
	s.engine.attend(s)
}

// endHandover lets requests in again, or leaves them to the next epoch.
func (l *lead) endHandover(s *slot) {
	if l.handover == nil {
		return
	}
	if l.handover.sealed {
		s.retryAt = time.Now().Add(handOverPause)
	}
	l.handover.leave()
	l.handover = nil
	l.sections.empty = nil
	s.announce()
}

// stepHandover seals the slot once nobody is inside and everybody has everything.
func (s *slot) stepHandover(now time.Time) {
	l, h := s.lead, s.lead.handover
	if s.engine.config.Frozen && !s.config.InSync(h.to) {
		s.stepFrozen(now)
		return
	}
	if h.sealed {
		if now.Sub(h.sealedAt) > sealPatience {
			s.propose(ownership.Abort.String(), s.config.Primary, s.config.ISR, false)
		}
		return
	}
	if (l.sections.count == 0 || h.closed) && ownership.MaySeal(s.config, h.to, l.pending, s.last, s.commit, l.acked) {
		h.sealed, h.sealedAt = true, now
		s.engine.send(h.to.Node, Seal{SlotEpoch: s.inEpoch(l.epoch), Last: s.last, Leaving: s.engine.leaving()})
		return
	}
	if now.Sub(h.shutAt) < s.engine.config.DrainTimeout || h.given && !s.standing(h.to, now).Silent {
		return
	}
	if s.backOffs < backOffsMax || now.Sub(h.shutAt) > sealPatience {
		s.retryAt = now.Add(backOffFirst << min(s.backOffs, backOffsMax))
		s.backOffs++
		s.engine.count.backedOff.Add(1)
		l.endHandover(s)
	}
}

// handedOver notes that a hand-over has come to its end: another store is primary.
func (s *slot) handedOver() {
	if h := s.lead.handover; h != nil && h.sealed {
		s.backOffs = 0
		s.engine.count.handedOver(time.Since(h.shutAt))
	}
}

// onSeal hears that the primary serves no more, for this store to take over.
func (s *slot) onSeal(from member, m Seal) {
	if m.Leaving {
		s.engine.leavers.note(from.Node, s.engine)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine.former(m.Epoch) || ownership.Judge(s.meta.Adopted, m.Epoch) == ownership.Refuse {
		s.refuse(from)
		return
	}
	if m.Epoch != s.meta.Adopted || s.follow.primary != from || s.lead != nil {
		return
	}
	s.sealTo = &sealed{from: from.Node, epoch: m.Epoch, last: m.Last}
	s.engine.attend(s)
}

// takeOver asks to be primary, as soon as the log is as the seal says.
func (s *slot) takeOver() (again bool) {
	if s.sealTo.epoch != s.meta.Adopted || s.sealTo.epoch != s.config.Epoch {
		s.sealTo = nil
		return false
	}
	durable, _ := s.written.now()
	if s.proposing || !ownership.MayTransfer(s.meta.Adopted, s.sealTo.epoch, durable, s.sealTo.last) {
		return true
	}
	s.propose(ownership.Transfer.String(), s.engine.config.Self, s.heirs(), false)
	return true
}

// heirs is the in-sync set after the transfer: the primary before leaves where it is not wanted and there are
// enough without it.
func (s *slot) heirs() []member {
	isr := slices.Clone(s.config.ISR)
	if !s.known() || s.wants(s.config.Primary.Node) || len(isr)-1 < s.engine.replicas() {
		return isr
	}
	return slices.DeleteFunc(isr, func(m member) bool { return m == s.config.Primary })
}

// known reports whether the control plane has said what is wanted of the slot.
func (s *slot) known() bool { return len(s.want) > 0 }

// onOpened hears from the store that took over that it serves: waiting requests are sent there.
func (s *slot) onOpened(from member, m Opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine.former(m.Epoch) || m.Epoch <= s.config.Epoch || m.Epoch <= s.meta.Adopted {
		return
	}
	s.read = 0
	s.setConfig(config{Epoch: m.Epoch, Primary: from, ISR: m.ISR})
	s.engine.attend(s)
}
