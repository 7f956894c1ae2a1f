package ownership_test

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// primarySteps are those of a primary that serves or is about to, with the answers it gets.
func (m *model) primarySteps(s *state, index, node int, to emit) {
	for other := range m.nodes {
		if other == node {
			continue
		}
		if s.nodes[other].up {
			m.replicate(s, index, node, other, to)
		}
		m.acknowledge(s, index, node, other, to)
	}
	r := &s.slots[index].replicas[node]
	switch {
	case r.role == opening:
		m.open(s, index, node, to)
	case r.serves():
		m.write(s, index, node, to)
		m.commit(s, index, node, to)
		m.read(s, index, node, to)
	}
	if m.guided {
		m.guidedSteps(s, index, node, to)
	} else {
		m.freeSteps(s, index, node, to)
	}
	m.misbehave(s, index, node, to)
}

// replicate brings another node's replica one step closer.
func (m *model) replicate(s *state, index, node, other int, to emit) {
	from, at := &s.slots[index].replicas[node], &s.slots[index].replicas[other]
	if m.guided && !m.concerns(s, index, node, other) {
		return
	}
	judged := m.mutant.judge(api.Epoch(at.adopted), api.Epoch(from.adopted))
	switch {
	case judged == ownership.Refuse:
	case judged == ownership.Adopt || !at.matched:
		m.startEpoch(s, index, node, other, to)
	case at.last < from.last:
		m.append(s, index, node, other, to)
	case at.applied < min(from.commit, at.last) && from.role == open:
		next := *s
		told := &next.slots[index].replicas[other]
		told.commit = min(from.commit, at.last)
		told.applied = told.commit
		to(&next, step{action: tellsCommit, slot: index, node: node, other: other, what: told.commit}, "")
	}
}

// startEpoch has another replica cut its log to where it agrees with the primary's, and follow it from there.
func (m *model) startEpoch(s *state, index, node, other int, to emit) {
	next := *s
	from, at := &s.slots[index].replicas[node], &next.slots[index].replicas[other]
	common := uint8(m.mutant.commonPrefix(at.log(), ownership.Seq(at.last), from.log(), ownership.Seq(from.last)))
	if at.adopted != from.adopted {
		at.adopt(from.adopted)
	}
	broken := ""
	if common < at.applied {
		broken = "what was applied is cut off"
	}
	if m.mutant != noTruncation {
		at.truncate(common)
	}
	at.applied, at.commit = min(at.applied, common), min(at.commit, common)
	at.starts, at.matched = from.starts, true
	if at.role == unread {
		at.role = outside
		if next.slots[index].history[from.adopted].isr.has(next.member(other)) {
			at.role = backup
		}
	}
	m.ack(&next, index, other, common)
	to(&next, step{action: startsEpoch, slot: index, node: node, other: other, epoch: from.adopted}, broken)
}

func (m *model) append(s *state, index, node, other int, to emit) {
	next := *s
	from, at := &s.slots[index].replicas[node], &next.slots[index].replicas[other]
	at.records[at.last] = from.records[at.last]
	at.last++
	if m.mutant == applyUncommitted {
		at.applied, at.commit = at.last, at.last
	}
	m.ack(&next, index, other, at.last)
	to(&next, step{action: appends, slot: index, node: node, other: other, epoch: from.adopted, what: at.last}, "")
}

// ack puts a replica's acknowledgement on its way to whoever is primary in its epoch.
func (m *model) ack(s *state, index, node int, last uint8) {
	at := &s.slots[index]
	r := &at.replicas[node]
	at.sent[node][r.adopted] = ackOf(s.member(node), last)
	r.acked = max(r.acked, r.adopted)
}

func (m *model) acknowledge(s *state, index, node, other int, to emit) {
	at := &s.slots[index]
	r := &at.replicas[node]
	epoch := r.adopted
	for ; epoch > 0; epoch-- {
		sent := at.sent[other][epoch]
		if sent > 0 && newer(r.ackedBy[other], sent) {
			next := *s
			next.slots[index].replicas[node].ackedBy[other] = sent
			to(&next, step{action: acknowledges, slot: index, node: node, other: other, epoch: epoch, what: uint8(sent&15) - 1}, "")
		}
		if m.mutant != lowerAcks {
			return
		}
	}
}

func newer(known, sent ack) bool { return known == 0 || known>>4 != sent>>4 || known < sent }

// open serves once everybody in sync has the whole log in this epoch, and it is applied.
func (m *model) open(s *state, index, node int, to emit) {
	r := &s.slots[index].replicas[node]
	config, last := s.slots[index].config(r.adopted), ownership.Seq(r.last)
	if r.applied < r.last && ownership.Committed(0, last, config.Others(), r.ackOf) == last {
		next := *s
		next.slots[index].replicas[node].applied = r.last
		to(&next, step{action: applies, slot: index, node: node}, "")
	}
	if m.mutant.mayOpen(config, last, ownership.Seq(r.applied), r.ackOf) {
		next := *s
		opened := &next.slots[index].replicas[node]
		opened.role, opened.commit = open, r.last
		to(&next, step{action: opens, slot: index, node: node, epoch: r.adopted}, brokenOpening(s, index, node))
	}
}

func (m *model) write(s *state, index, node int, to emit) {
	r := &s.slots[index].replicas[node]
	if s.slots[index].writes == m.writes || r.last == recordMax {
		return
	}
	next := *s
	at := &next.slots[index]
	at.writes++
	at.replicas[node].records[r.last] = recordOf(r.adopted, at.writes)
	at.replicas[node].last++
	to(&next, step{action: writes, slot: index, node: node, epoch: r.adopted, what: at.writes}, "")
}

// need is who answers for the primary's epoch; all counts those that are joining.
func (m *model) need(at *slot, r *replica, all bool) []member {
	if !all {
		return ownership.Need(at.config(r.adopted), nil)
	}
	return ownership.Need(at.config(r.adopted), r.pending.members())
}

// commit acknowledges to clients what everybody needed has.
func (m *model) commit(s *state, index, node int, to emit) {
	r := &s.slots[index].replicas[node]
	if r.commit == r.last {
		return
	}
	need := m.need(&s.slots[index], r, m.mutant != commitByISR)
	acked := r.ackOf
	if m.mutant == expandByNode {
		acked = r.ackOfNode
	}
	reached := uint8(ownership.Committed(ownership.Seq(r.commit), ownership.Seq(r.last), need, acked))
	if reached == r.commit {
		return
	}
	next := *s
	done := &next.slots[index].replicas[node]
	done.commit, done.applied = reached, reached
	next.slots[index].seen |= done.values(reached)
	to(&next, step{action: commits, slot: index, node: node, what: reached}, brokenService(s, index, node))
}

// ackOfNode is what an ack says if stores are not told apart.
func (r *replica) ackOfNode(x member) (ownership.Seq, bool) {
	if r.ackedBy[x.node()] == 0 {
		return 0, false
	}
	return ownership.Seq(r.ackedBy[x.node()]&15) - 1, true
}

// read begins a read, which takes what it returns there and then, and ends one that was confirmed.
func (m *model) read(s *state, index, node int, to emit) {
	if !m.reads {
		return
	}
	r := &s.slots[index].replicas[node]
	next := *s
	now := &next.slots[index].replicas[node]
	if !r.reading {
		kept := r.confirmed
		now.endRead()
		now.reading, now.must, now.saw = true, s.slots[index].seen, r.values(r.applied)
		if m.mutant == confirmationKept {
			now.confirmed = kept
		}
		to(&next, step{action: readsBegin, slot: index, node: node, epoch: r.adopted}, "")
		return
	}
	for _, x := range m.need(&s.slots[index], r, m.mutant != readByISR) {
		if r.confirmed&(1<<x.node()) == 0 {
			return
		}
	}
	broken := brokenService(s, index, node)
	if r.must&^r.saw != 0 {
		broken = staleRead
	}
	next.slots[index].seen |= r.saw
	now.endRead()
	if m.mutant == confirmationKept {
		now.confirmed = r.confirmed
	}
	to(&next, step{action: readsEnd, slot: index, node: node, epoch: r.adopted}, broken)
}

// confirm is one question for all slots that a node has reads of: is the other still at these epochs?
func (m *model) confirm(s *state, node, other int, to emit) {
	if node == other || !s.nodes[node].up || !s.nodes[other].up {
		return
	}
	next, changed, first := *s, false, true
	for index := range m.slots {
		r := &s.slots[index].replicas[node]
		if !r.reading || r.confirmed&(1<<other) != 0 || !r.needs(&s.slots[index], s.member(other)) {
			continue
		}
		yes := ownership.Confirms(api.Epoch(s.slots[index].replicas[other].adopted), api.Epoch(r.adopted))
		if yes || m.mutant == batchWhole && !first && changed {
			next.slots[index].replicas[node].confirmed |= 1 << other
			changed = true
		}
		first = false
	}
	if changed {
		to(&next, step{action: confirms, node: node, other: other}, "")
	}
}

func (r *replica) needs(at *slot, x member) bool {
	return at.history[r.adopted].isr.has(x) || r.pending.has(x)
}
