package ownership_test

import "fmt"

// What clients are promised. The other invariants are how it is kept, by their numbers in the package's
// documentation.
const (
	lostWrite    = "an acknowledged write is lost"
	staleRead    = "a confirmed read is stale"
	twoPrimaries = "two primaries could both complete a request"
)

// broken says what is wrong with a state, or nothing.
func (m *model) broken(s *state) string {
	for index := range m.slots {
		if at := &s.slots[index]; !at.lost {
			if what := m.brokenSlot(s, at); what != "" {
				return what
			}
		}
	}
	return ""
}

func (m *model) brokenSlot(s *state, at *slot) string {
	for _, x := range at.history[at.epoch].isr.members() {
		if m.memory && s.silent(x) {
			continue // it is gone with its process, and leaves the set when the next one registers
		}
		r := &at.replicas[x.node()]
		if at.seen&^r.values(r.last) != 0 {
			return lostWrite
		}
	}
	completing := 0
	for node := range m.nodes {
		if m.completes(s, at, node) {
			completing++
		}
	}
	if completing > 1 {
		return twoPrimaries
	}
	return ""
}

// completes reports whether requests at a node could be answered, if the network were good to it.
func (m *model) completes(s *state, at *slot, node int) bool {
	r := &at.replicas[node]
	if !s.nodes[node].up || !r.serves() {
		return false
	}
	for _, x := range m.need(at, r, true) {
		if s.silent(x) || at.replicas[x.node()].adopted != r.adopted {
			return false
		}
	}
	return true
}

// brokenStep compares a state with the one before it.
func (m *model) brokenStep(before, after *state, taken step) string {
	for node := range m.nodes {
		if n := &after.nodes[node]; n.registered && n.boot != n.knownBoot {
			return "the session of a process is given to one that ended before it began"
		}
	}
	for index := range m.slots {
		was, is := &before.slots[index], &after.slots[index]
		for epoch := uint8(1); epoch <= was.epoch; epoch++ {
			if was.history[epoch] != is.history[epoch] {
				return "1: a configuration changed within its epoch"
			}
		}
		for node := range m.nodes {
			if what := m.brokenReplica(before, after, index, node); what != "" {
				return what
			}
		}
	}
	return ""
}

func (m *model) brokenReplica(before, after *state, index, node int) string {
	was, is := &before.slots[index].replicas[node], &after.slots[index].replicas[node]
	if before.member(node) != after.member(node) || m.memory && !after.nodes[node].up {
		return ""
	}
	if is.adopted < was.adopted || is.acked < was.acked {
		return "4: a store fell back to a lower epoch"
	}
	if is.adopted != was.adopted || !is.leads() || !was.leads() {
		return ""
	}
	for _, x := range was.pending.members() {
		if !is.pending.has(x) {
			return "5: pending shrank within an epoch"
		}
	}
	return ""
}

// brokenOpening looks at a slot as its primary opens.
func brokenOpening(s *state, index, node int) string {
	at := &s.slots[index]
	r := &at.replicas[node]
	if r.applied < r.last {
		return "8: a primary serves what it has not applied"
	}
	for _, x := range at.config(r.adopted).Others() {
		if s.silent(x) {
			continue
		}
		seq, known := at.sent[x.node()][r.adopted].of(x)
		if !known || uint8(seq) < r.last {
			return "8: a primary serves before everybody in sync acknowledged its log"
		}
	}
	return ""
}

// brokenService looks at a slot as its primary completes a request.
func brokenService(s *state, index, node int) string {
	at := &s.slots[index]
	if at.sealEpoch == at.replicas[node].adopted && at.history[at.sealEpoch].primary == s.member(node) {
		return "7: a sealed primary serves"
	}
	return ""
}

// brokenDecision looks at a configuration as it is decided, while its proposer may still be in the one before.
func brokenDecision(s *state, at *slot, p proposal) string {
	if p >= shrink {
		return ""
	}
	joined := member(p)
	primary := at.history[at.epoch].primary
	r := &at.replicas[primary.node()]
	if s.silent(joined) || s.silent(primary) || r.adopted != at.epoch || !r.leads() {
		return ""
	}
	seq, known := at.sent[joined.node()][at.epoch].of(joined)
	if !r.pending.has(joined) || !known || uint8(seq) < r.commit {
		return fmt.Sprintf("6: n%d is in sync and lacks what is committed", joined.node())
	}
	return ""
}
