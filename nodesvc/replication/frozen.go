package replication

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api/ownership"
)

// A service without a log (Config.Frozen) cannot catch up: what it copies must not change before the slot has
// changed hands. So nobody is let in from before the copy until another store serves; and a primary that finds
// itself with others in its in-sync set does not serve before it has taken them out, for they are behind
// whatever it would do.

const (
	// freezeMax is how long a slot may wait for its copy to be made.
	freezeMax = 10 * time.Second
	// rehearsalAge is how long a rehearsal says how long the copy will take.
	rehearsalAge = 30 * time.Second
)

// freeze begins to drain the slot for its copy, once a rehearsal has shown that it can be moved.
func (s *slot) freeze(to member, now time.Time) {
	f := s.lead.follower(to)
	rehearser, can := s.engine.config.Service.(Rehearser)
	switch {
	case !can || now.Sub(f.rehearsed) < rehearsalAge:
		s.handOver(to, now)
	case !f.rehearsing:
		f.rehearsing = s.engine.copies.rehearse(s, to, rehearser)
	}
}

// rehearse has the service make a copy to nowhere, when it is its turn; it answers whether that is under way.
func (c *copies) rehearse(s *slot, to member, rehearser Rehearser) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Err() != nil {
		return false
	}
	c.running.Go(func() {
		done, err := c.turns.Take(c.open)
		if err == nil {
			err = rehearser.Rehearse(s.number)
			done()
		}
		s.rehearsed(to, err)
	})
	return true
}

// rehearsed takes note of how a rehearsal went.
func (s *slot) rehearsed(to member, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil {
		return
	}
	f := s.lead.follower(to)
	f.rehearsing = false
	if now := time.Now(); err == nil {
		f.rehearsed = now
	} else {
		f.block(err.Error(), now)
	}
	s.engine.attend(s)
}

// block leaves the follower alone for a while; operators see why.
func (f *follower) block(why string, now time.Time) {
	f.blocked, f.blockedUntil = why, now.Add(blockedFor)
}

// stepFrozen copies the slot, which is drained, and has the copy join.
func (s *slot) stepFrozen(now time.Time) {
	l, h := s.lead, s.lead.handover
	f := l.follower(h.to)
	switch {
	case now.Sub(h.shutAt) > freezeMax || !s.standing(h.to, now).Up:
		s.thaw(f, now)
	case h.given:
		s.joinFrozen(f, now)
	case f.copy != nil || l.sections.count > 0: // what is inside may change the state until it leaves
		s.backOffFrozen(f, now)
	case f.started:
		s.beginCopy(f)
	case now.Sub(f.begun) > startPatience:
		s.begin(f)
	}
}

// backOffFrozen lets requests in again where those that are inside do not end.
func (s *slot) backOffFrozen(f *follower, now time.Time) {
	if f.copy == nil && now.Sub(s.lead.handover.shutAt) > s.engine.config.DrainTimeout {
		s.engine.count.backedOff.Add(1)
		if s.backOffs >= backOffsMax {
			f.block("its requests do not end", now)
		}
		s.thaw(f, now)
	}
}

func (s *slot) joinFrozen(f *follower, now time.Time) {
	l := s.lead
	if !slices.Contains(l.pending, f.member) {
		l.pending = append(l.pending, f.member)
	}
	if ownership.MayExpand(f.member, l.pending, s.commit, l.acked) {
		s.propose(ownership.Expand.String(), s.config.Primary, append(slices.Clone(s.config.ISR), f.member), false)
	}
	if !f.started && now.Sub(f.begun) > startPatience {
		s.begin(f)
	}
}

// thaw gives up: requests are let in, and another try is made later. Once the copy joins it may be in sync for all
// that is known here, and take over from a primary that is cut off: then nobody is let in before the epoch ends.
func (s *slot) thaw(f *follower, now time.Time) {
	f.copy.cancel()
	s.retryAt = now.Add(backOffFirst << min(s.backOffs, backOffsMax))
	s.backOffs++
	if len(s.lead.pending) > 0 {
		s.propose(ownership.Abort.String(), s.config.Primary, s.config.ISR, false)
		return
	}
	s.lead.endHandover(s)
}

// carriesOver reports whether a hand-over goes on in the next epoch: the copy has just joined.
func (s *slot) carriesOver(was *lead, next config) bool {
	return s.engine.config.Frozen && was.handover != nil && was.handover.given && next.InSync(was.handover.to)
}
