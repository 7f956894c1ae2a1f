package ownership_test

import "github.com/stead-io/stead/api/ownership"

// controlSteps are those of the control plane.
func (m *model) controlSteps(s *state, to emit) {
	for node := range m.nodes {
		m.suspect(s, node, to)
	}
	for index := range m.slots {
		at := &s.slots[index]
		switch {
		case at.lost:
		case at.recovering:
			m.recover(s, index, to)
		default:
			for p := range proposalEnd {
				if at.proposed&(1<<p) != 0 {
					m.decide(s, index, p, to)
				}
			}
			m.wantAnew(s, index, to)
		}
	}
	if m.restores >= s.generation {
		m.restore(s, to)
	}
}

// suspect takes a node for down, be it so or not, or notices that it lives. Either may give a slot a primary.
func (m *model) suspect(s *state, node int, to emit) {
	n := &s.nodes[node]
	taken := step{action: isSuspected, node: node}
	switch {
	case n.down && n.up && n.registered:
		taken.action = beatsAgain
	case n.down || s.suspicions == m.suspicions || m.away && n.up:
		return
	}
	for preferred := range m.nodes {
		next := *s
		next.nodes[node].down = !n.down
		if !n.down {
			next.suspicions++
		}
		broken, ok := "", true
		for index := range m.slots {
			if at := &next.slots[index]; ok && !at.lost && !at.recovering {
				broken, ok = m.succeed(&next, at, preferred)
			}
		}
		if ok {
			to(&next, taken, broken)
		}
	}
}

func (m *model) wantAnew(s *state, index int, to emit) {
	if s.replans == m.replans {
		return
	}
	for want := range m.wants {
		if uint8(want) != s.slots[index].want {
			next := *s
			next.replans++
			next.slots[index].want = uint8(want)
			to(&next, step{action: wantChanges, slot: index}, "")
		}
	}
}

// restore puts the control plane back to a former epoch, in a new generation. The model's slots of one
// control plane were all saved in the same epoch, which bounds with restores have one slot for.
func (m *model) restore(s *state, to emit) {
	for epoch := uint8(1); epoch <= s.slots[0].epoch; epoch++ {
		next := *s
		at := &next.slots[0]
		next.generation++
		next.renewed = at.epoch + 1
		at.recovering, at.best, at.reported, at.proposed = true, epoch, 0, 0
		for node := range m.nodes {
			next.nodes[node].down = false
		}
		to(&next, step{action: isRestored, epoch: epoch}, "")
	}
}

// report registers a process in the new generation. It tells of the configuration it adopted last, and takes
// none of former generations from then on.
func (m *model) report(s *state, node int, to emit) {
	next := *s
	n, at := &next.nodes[node], &next.slots[0]
	was, is := memberOf(node, n.known), memberOf(node, n.store)
	if at.recovering {
		at.reported |= 1 << node
		at.best = max(at.best, at.replicas[node].adopted)
	}
	broken, ok := "", true
	if n.boot > n.knownBoot {
		broken, ok = m.restartSlots(&next, was, is, 0)
	}
	n.generation, n.registered, n.down = s.generation, true, false
	n.known, n.knownBoot, n.since[0] = n.store, n.boot, at.epoch
	if ok {
		to(&next, step{action: reports, node: node}, broken)
	}
}

// recover gives a slot a configuration again once everybody who may know of a higher epoch has reported.
func (m *model) recover(s *state, index int, to emit) {
	best := s.slots[index].history[s.slots[index].best]
	for node := range m.nodes {
		awaited := m.awaitEverybody && m.mutant != recoverKnowing || best.isr[node] != 0
		if awaited && s.slots[index].reported&(1<<node) == 0 && m.mutant != recoverEarly {
			return
		}
	}
	for _, primary := range best.isr.members() {
		next := *s
		at := &next.slots[index]
		config := best.config(at.epoch)
		config.Epoch, config.Primary = config.Epoch+1, primary
		broken, ok := m.make(at, config)
		at.recovering, at.best, at.reported = false, 0, 0
		if ok {
			to(&next, step{action: isRecovered, slot: index}, broken)
		}
	}
}

// guidedSteps are what Next tells a primary to do.
func (m *model) guidedSteps(s *state, index, node int, to emit) {
	at := &s.slots[index]
	r := &at.replicas[node]
	config := at.config(r.adopted)
	switch {
	case r.sealed:
		if s.silent(at.history[r.adopted].isr[at.sealTo]) && m.mutant != sealsForever {
			m.propose(s, index, node, abort, to)
		}
	case r.role == opening:
		if gone := m.silentBits(s, config.Others()); gone > 0 && m.mutant != opensPatiently {
			m.propose(s, index, node, shrink+gone, to)
		}
	default:
		m.follow(s, index, node, ownership.Next(m.view(s, index, node)), to)
	}
}

func (m *model) follow(s *state, index, node int, next ownership.Step[member], to emit) {
	at := &s.slots[index]
	config := at.config(at.replicas[node].adopted)
	switch next.Act {
	case ownership.JoinIt:
		m.join(s, index, node, next.Member, to)
	case ownership.HandOver:
		m.seal(s, index, node, next.Member.node(), to)
	case ownership.Propose:
		m.propose(s, index, node, asProposal(config, next), to)
	case ownership.Rest, ownership.CopyTo: // replicas are brought up to date all the time
	}
}

func asProposal(now ownership.Config[member], next ownership.Step[member]) proposal {
	leaving := proposal(0)
	for _, x := range now.ISR {
		if !setOf(next.ISR).has(x) {
			leaving |= 1 << x.node()
		}
	}
	switch {
	case next.Kind == ownership.Expand:
		return expand + proposal(next.Member)
	case next.Kind == ownership.Abort:
		return abort
	case next.Silent:
		return shrink + leaving
	default:
		return drop + leaving
	}
}

// view is how a primary sees its slot: who does not answer it takes for silent soon enough.
func (m *model) view(s *state, index, node int) ownership.View[member] {
	at := &s.slots[index]
	r := &at.replicas[node]
	view := ownership.View[member]{Config: at.config(r.adopted), Pending: r.pending.members(), Commit: ownership.Seq(r.commit)}
	for _, wanted := range m.wants[at.want] {
		view.Want = append(view.Want, memberOf(wanted, s.nodes[wanted].known))
	}
	view.Of = func(x member) ownership.Standing {
		seq, known := r.ackOf(x)
		return ownership.Standing{
			Up: s.up(x), Silent: x.node() != node && s.silent(x), CaughtUp: known && seq == ownership.Seq(r.last), Acked: seq, Known: known,
		}
	}
	return view
}

func (s *state) silent(x member) bool { return !s.nodes[x.node()].up || s.member(x.node()) != x }

func (m *model) silentBits(s *state, members []member) (bits proposal) {
	for _, x := range members {
		if s.silent(x) {
			bits |= 1 << x.node()
		}
	}
	return bits
}

// concerns reports whether a primary has anything to do with another node.
func (m *model) concerns(s *state, index, node, other int) bool {
	at := &s.slots[index]
	r := &at.replicas[node]
	x := s.member(other)
	return r.needs(at, x) || m.wanted(at, other)
}
