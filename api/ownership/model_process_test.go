package ownership_test

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// processSteps are those of a node's process: it ends, starts, registers.
func (m *model) processSteps(s *state, node int, to emit) {
	n := &s.nodes[node]
	switch {
	case n.up && s.crashes < m.crashes:
		m.crash(s, node, to)
	case !n.up && !m.away && (!m.memory || n.store+1 < storeMax):
		m.restart(s, node, to)
	}
	if n.up && !n.registered && n.generation == s.generation {
		m.register(s, node, n.boot, n.store, step{action: registers, node: node}, to)
	}
	if n.late > 0 {
		m.registerLate(s, node, to)
	}
	if n.up && n.generation < s.generation {
		m.report(s, node, to)
	}
}

func (m *model) crash(s *state, node int, to emit) {
	next := *s
	next.crashes++
	n := &next.nodes[node]
	if !n.registered {
		n.late, n.lateStore = n.boot, n.store
	}
	n.up, n.registered, n.since = false, false, [slotCount]uint8{}
	for index := range m.slots {
		r := &next.slots[index].replicas[node]
		if r.forget(); m.memory {
			*r = replica{}
		}
		if m.mutant == adoptedForgotten {
			r.adopted = 0
		}
	}
	to(&next, step{action: crashes, node: node}, "")
}

func (m *model) restart(s *state, node int, to emit) {
	next := *s
	n := &next.nodes[node]
	n.up = true
	n.boot++
	if m.memory {
		n.store++
	}
	to(&next, step{action: restarts, node: node}, "")
}

// register makes the control plane know a process, and gives its predecessor's slots a new epoch.
func (m *model) register(s *state, node int, boot, store uint8, taken step, to emit) {
	was, is := memberOf(node, s.nodes[node].known), memberOf(node, store)
	for preferred := range m.nodes {
		next := *s
		n := &next.nodes[node]
		n.known, n.knownBoot, n.down = store, boot, false
		broken, ok := m.restartSlots(&next, was, is, preferred)
		if !ok {
			continue
		}
		if n.boot == boot && n.up {
			n.registered = true
			for index := range m.slots {
				n.since[index] = next.slots[index].epoch
			}
		}
		to(&next, taken, broken)
	}
}

func (m *model) restartSlots(s *state, was, is member, preferred int) (broken string, ok bool) {
	for index := range m.slots {
		at := &s.slots[index]
		if at.recovering || at.lost {
			continue
		}
		now := at.config(at.epoch)
		next, outcome := m.mutant.restart(now, was, is, s.up, prefer(preferred))
		switch outcome {
		case ownership.Lost:
			at.lost = true
			if own := s.nodes[was.node()]; own.up && own.store == was.store() {
				return "the only copy is given up, and it lives", true
			}
			continue
		case ownership.Kept, ownership.Stranded:
		default:
			if broken, ok = m.make(at, next); !ok || broken != "" {
				return broken, ok
			}
		}
		if broken, ok = m.succeed(s, at, preferred); !ok || broken != "" {
			return broken, ok
		}
	}
	return "", true
}

// succeed gives a slot whose primary is down another.
func (m *model) succeed(s *state, at *slot, preferred int) (broken string, ok bool) {
	next, outcome := m.mutant.succeed(at.config(at.epoch), s.up, prefer(preferred), m.nodes)
	if outcome != ownership.Moved {
		return "", true
	}
	return m.make(at, next)
}

func prefer(node int) func([]member) member {
	return func(members []member) member {
		for _, m := range members {
			if m.node() == node {
				return m
			}
		}
		return members[0]
	}
}

// registerLate lets the registration of a process arrive that has ended: unless a later process of the node
// registered before, the control plane cannot tell.
func (m *model) registerLate(s *state, node int, to emit) {
	next := *s
	n := &next.nodes[node]
	boot, store := n.late, n.lateStore
	n.late = 0
	taken := step{action: registersLate, node: node}
	if boot <= n.knownBoot && m.mutant != staleBoot {
		to(&next, taken, "") // stale_boot
		return
	}
	m.register(&next, node, boot, store, taken, to)
}

// replicaSteps are those that any replica takes by itself.
func (m *model) replicaSteps(s *state, index, node int, to emit) {
	n, at := &s.nodes[node], &s.slots[index]
	r := &at.replicas[node]
	if !n.up {
		return
	}
	for epoch := max(r.adopted, 1); epoch <= at.epoch; epoch++ {
		if epoch > r.adopted || r.role == unread {
			m.learn(s, index, node, epoch, to)
		}
	}
	m.delete(s, index, node, to)
	if r.role != open && at.sealTo == uint8(node) && at.sealEpoch > 0 {
		m.proposeTransfer(s, index, node, to)
	}
}

// learn reads a configuration, which may have been superseded since. Epochs stand for the log's indexes here:
// what was read while an epoch was the present one was read at that epoch.
func (m *model) learn(s *state, index, node int, epoch uint8, to emit) {
	n, at := &s.nodes[node], &s.slots[index]
	if s.generation > 1 && m.mutant != oldGeneration && (epoch >= s.renewed) != (n.generation == s.generation) {
		return // a process takes configurations of its own generation
	}
	if m.guided && epoch < at.epoch {
		return
	}
	since := uint64(epochMax + 1)
	if n.registered {
		since = uint64(n.since[index])
	}
	next := *s
	r := &next.slots[index].replicas[node]
	was := *r
	r.adopt(epoch)
	broken := ""
	switch m.mutant.roleIn(at.config(epoch), s.member(node), uint64(epoch), since) {
	case ownership.Primary:
		r.role = opening
		if m.mutant.continues(at.config(was.adopted), at.config(epoch), was.role) {
			r.role = open
			r.reading, r.must, r.saw = was.reading, was.must, was.saw
		}
		r.setLog(ownership.Truncated(r.log(), ownership.Seq(r.last), api.Epoch(epoch)))
		if uint64(epoch) < since {
			broken = "9: a process is primary in an epoch made before it registered"
		}
	case ownership.Backup:
		r.role = backup
	case ownership.Outside:
		r.role = outside
	}
	to(&next, step{action: learns, slot: index, node: node, epoch: epoch}, broken)
}

func (m *model) delete(s *state, index, node int, to emit) {
	at := &s.slots[index]
	r := &at.replicas[node]
	if r.starts == [epochMax + 1]uint8{} {
		return
	}
	adopted := r.adopted
	if m.mutant == deleteByOlder {
		adopted = at.epoch // as just read, without adopting it or asking what was acknowledged since
	}
	may := r.role == outside && ownership.MayDelete(at.config(adopted), s.member(node), m.wants != nil && m.wanted(at, node), api.Epoch(r.acked))
	if m.mutant == deleteByOlder {
		may = !at.config(adopted).InSync(s.member(node))
	}
	if !may {
		return
	}
	next := *s
	gone := &next.slots[index].replicas[node]
	gone.truncate(0)
	gone.starts, gone.applied, gone.commit, gone.matched = [epochMax + 1]uint8{}, 0, 0, false
	to(&next, step{action: deletes, slot: index, node: node}, "")
}

func (m *model) wanted(at *slot, node int) bool {
	for _, wanted := range m.wants[at.want] {
		if wanted == node {
			return true
		}
	}
	return false
}
