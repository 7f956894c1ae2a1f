package replication

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

const (
	attendEvery = 50 * time.Millisecond
	// startPatience is how long a replica may take to answer Start before it is asked again.
	startPatience = 300 * time.Millisecond
	// learnerPatience is how long a replica that catches up may owe an acknowledgement.
	learnerPatience = 5 * time.Second
	// blockedFor is how long a replica that refused a slot is left alone.
	blockedFor = 5 * time.Second
)

// attention holds the slots whose next step is to be looked for: now, or at the next tick.
type attention struct {
	mu    sync.Mutex
	now   map[*slot]bool
	later map[*slot]bool
	wake  chan struct{} // of one place
}

func newAttention() *attention {
	return &attention{now: make(map[*slot]bool), later: make(map[*slot]bool), wake: make(chan struct{}, 1)}
}

// attend has the slot's next step looked for soon.
func (e *Engine) attend(s *slot) {
	a := e.attention
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now[s] = true
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *attention) take(tick bool) map[*slot]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.now
	a.now = make(map[*slot]bool)
	if tick {
		for s := range a.later {
			taken[s] = true
		}
		a.later = make(map[*slot]bool)
	}
	return taken
}

func (a *attention) postpone(s *slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.later[s] = true
}

// reconcile brings slots towards what is wanted, a step at a time, until the engine closes.
func (e *Engine) reconcile(ctx context.Context) {
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	for {
		ticked := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ticked = true
		case <-e.attention.wake:
		}
		now := time.Now()
		for s := range e.attention.take(ticked) {
			if s.step(now) {
				e.attention.postpone(s)
			}
		}
	}
}

// step takes the slot's next step; it answers whether to look again soon.
func (s *slot) step(now time.Time) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.engine.config.Control == nil || s.recovering:
		return false
	case s.lead == nil:
		return s.stepAside()
	case s.proposing:
		return true
	case s.lead.handover != nil:
		s.stepHandover(now)
		return true
	case !s.lead.open:
		return s.stepOpening(now)
	}
	if s.engine.leaving() && len(s.lead.pending) == 0 { // with a member joining no slot can be sealed
		if heir, found := s.anyHeir(); found {
			s.handOver(heir, now)
			return true
		}
	}
	s.startAgain(now)
	s.askAgain(now)
	v := s.view(now)
	return s.take(ownership.Next(v), now) || len(s.lead.pending) > 0 || s.owed() || s.lags(now)
}

// askAgain begins anew with replicas that are neither in sync nor joining and owe an answer for long. Those that
// are leave the in-sync set for it.
func (s *slot) askAgain(now time.Time) {
	need := s.need()
	for _, f := range s.lead.followers {
		if !f.owes.IsZero() && now.Sub(f.owes) > learnerPatience && !slices.Contains(need, f.member) {
			f.owes = time.Time{}
			s.begin(f)
		}
	}
}

// lags reports whether a replica is left alone for a while, or owes an answer: then it is to be tried again.
func (s *slot) lags(now time.Time) bool {
	for _, f := range s.lead.followers {
		if s.obstacle(f, now) != "" || !f.owes.IsZero() {
			return true
		}
	}
	return false
}

// owed reports whether a replica owes an answer that acknowledgements or reads depend on.
func (s *slot) owed() bool {
	return slices.ContainsFunc(s.need(), func(m member) bool {
		f := s.lead.followers[m]
		return f == nil || !f.owes.IsZero() || !f.started
	})
}

// stepOpening takes replicas out that do not answer: nothing else is decided before the epoch is open.
func (s *slot) stepOpening(now time.Time) bool {
	if s.engine.config.Frozen {
		if len(s.config.ISR) > 1 {
			s.propose(ownership.Shrink.String(), s.config.Primary, []member{s.config.Primary}, true)
		}
		return true
	}
	keep := slices.DeleteFunc(slices.Clone(s.config.ISR), func(m member) bool {
		return m != s.config.Primary && s.standing(m, now).Silent
	})
	if len(keep) < len(s.config.ISR) {
		s.propose(ownership.Shrink.String(), s.config.Primary, keep, true)
		return true
	}
	s.startAgain(now)
	return true
}

// startAgain asks those who must answer, and have not, once more: they may not have been ready.
func (s *slot) startAgain(now time.Time) {
	for _, m := range s.need() {
		if f := s.lead.follower(m); !f.started && now.Sub(f.begun) > startPatience {
			s.begin(f)
		}
	}
}

// view is what the next step depends on.
func (s *slot) view(now time.Time) ownership.View[member] {
	v := ownership.View[member]{Config: s.config, Pending: s.lead.pending, Commit: s.commit}
	v.Of = func(m member) ownership.Standing { return s.standing(m, now) }
	for _, id := range s.want {
		node, known := s.engine.node(id)
		if !known || node.Store == "" {
			v.Missing++
			continue
		}
		v.Want = append(v.Want, member{Node: id, Store: node.Store})
	}
	return v
}

// standing is how a member looks now.
func (s *slot) standing(m member, now time.Time) ownership.Standing {
	node, known := s.engine.node(m.Node)
	hello, linked := s.engine.peer(m.Node)
	is := ownership.Standing{Up: known && node.Status != api.NodeDown && node.Store == m.Store && linked && hello.Store == m.Store}
	is.Leaving = linked && s.engine.leavers.include(m.Node, hello.Nonce)
	if s.self(m) {
		is.Up = true
	}
	f := s.lead.followers[m]
	if f == nil {
		return is
	}
	is.Acked, is.Known = f.acked, f.known
	allSent := f.started && !f.need && f.sent == s.last // none of what it lacks is missing from the log
	is.CaughtUp = allSent && f.known && s.last-f.acked <= joinLagMax
	is.Blocked = s.obstacle(f, now) != ""
	is.Silent = !f.owes.IsZero() && now.Sub(f.owes) > s.engine.config.AckTimeout || f.need && s.config.InSync(m)
	if asked := s.engine.confirms.waiting(m.Node); !asked.IsZero() && now.Sub(asked) > s.engine.config.AckTimeout {
		is.Silent = true
	}
	return is
}

// take carries out a step; it answers whether more is to come.
func (s *slot) take(step ownership.Step[member], now time.Time) bool {
	switch step.Act {
	case ownership.Propose:
		if !step.Silent && step.Kind != ownership.Abort { // commits wait for who is silent, in sync or joining
			if s.passed = s.changes().enter(s); s.passed == nil {
				return true
			}
		}
		s.propose(step.Kind.String(), s.config.Primary, step.ISR, step.Silent)
	case ownership.HandOver:
		s.handOver(step.Member, now)
	case ownership.CopyTo:
		if s.engine.config.Frozen {
			s.freeze(step.Member, now)
		} else {
			s.bring(s.lead.follower(step.Member), now)
		}
	case ownership.JoinIt:
		if s.engine.config.Frozen {
			s.freeze(step.Member, now)
		} else {
			s.join(step.Member, now)
		}
	default:
		return false
	}
	return true
}

// bring brings a replica up to date: from the log where that reaches, with a copy where it does not.
func (s *slot) bring(f *follower, now time.Time) {
	switch {
	case !f.started && now.Sub(f.begun) > startPatience:
		if s.short() {
			s.begin(f) // also of one that is given a copy: it takes none in an epoch that it does not know
		} else if leave := s.engine.starts.enter(s); leave != nil {
			s.begin(f)
			leave()
		}
	case f.need && f.copy == nil:
		s.beginCopy(f)
	case f.need:
	case f.started:
		s.engine.schedule(s)
	}
}

// join makes every commit wait for the replica too; once it has all that is committed it may be in sync.
func (s *slot) join(m member, now time.Time) {
	s.lead.pending = append(s.lead.pending, m)
	if f := s.lead.follower(m); f.acked < s.last {
		f.owes = now
	}
	s.engine.schedule(s)
}

// anyHeir is a replica that could take over when this node leaves: the first wanted, else any.
func (s *slot) anyHeir() (heir member, found bool) {
	now := time.Now()
	best := len(s.want) + 1
	for _, m := range s.config.Others() {
		is := s.standing(m, now)
		if !is.Up || !is.Known || is.Silent || is.Blocked || is.Leaving {
			continue
		}
		rank := slices.Index(s.want, m.Node)
		if rank < 0 {
			rank = len(s.want)
		}
		if rank < best {
			heir, found, best = m, true, rank
		}
	}
	return heir, found
}

// stepAside is what a store does that is not primary: it takes over what was sealed to it, and deletes what is
// no longer its.
func (s *slot) stepAside() bool {
	if s.sealTo != nil {
		return s.takeOver()
	}
	if s.mayRelease() {
		s.releasing = true
		s.engine.schedule(s)
	}
	return false
}
