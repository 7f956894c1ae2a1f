package ownership_test

import (
	"strconv"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// bounds say how far a search goes.
type bounds struct {
	name           string
	nodes, slots   int
	epochs         uint8 // configurations of a slot
	writes         uint8 // of a slot
	crashes        uint8
	suspicions     uint8 // nodes that the control plane takes for down, rightly or not
	restores       uint8
	memory         bool // stores end with their process
	away           bool // crashed nodes stay away, and nobody else is taken for down
	reads          bool
	isr            set  // at the start; its first is the primary
	awaitEverybody bool // a recovery awaits every node, not only the in-sync set it knows of
	// guided: primaries do what Next says, towards wants; otherwise whatever they may.
	guided      bool
	wants       [][]int // rows of nodes, the primary to be first
	replans     uint8   // how often want may change
	replicas    int
	least, most int // states that a search is to see; 0: any number
}

// An action is a kind of step.
type action uint8

const (
	crashes action = iota
	restarts
	registers
	registersLate
	isSuspected
	beatsAgain
	learns
	deletes
	startsEpoch
	appends
	acknowledges
	tellsCommit
	applies
	opens
	writes
	commits
	readsBegin
	confirms
	readsEnd
	joins
	seals
	proposes
	decided
	refused
	isRestored
	reports
	isRecovered
	wantChanges
	misbehaves // what only a mutant does
	actionCount
)

// A step is one transition, told by numbers so that it costs nothing until it is printed.
type step struct {
	action action
	slot   int
	node   int // who does it
	other  int // to whom
	epoch  uint8
	what   uint8 // a proposal, a record
}

// stepWords tell a step, with its numbers in place of the braces.
var stepWords = [actionCount]string{
	crashes:       "n{node} crashes",
	restarts:      "n{node} restarts",
	registers:     "n{node} registers",
	registersLate: "a registration of n{node}'s former process arrives",
	isSuspected:   "n{node} is taken for down",
	beatsAgain:    "n{node} is known to live",
	learns:        "n{node} reads epoch {epoch} of slot {slot}",
	deletes:       "n{node} deletes slot {slot}",
	startsEpoch:   "n{node} starts epoch {epoch} of slot {slot} on n{other}",
	appends:       "n{other} appends record {what} of n{node}, epoch {epoch} of slot {slot}",
	acknowledges:  "n{other}'s ack of record {what} in epoch {epoch} of slot {slot} reaches n{node}",
	tellsCommit:   "n{other} hears from n{node} that record {what} of slot {slot} is committed, and applies",
	applies:       "n{node} applies the log of slot {slot}",
	opens:         "n{node} opens slot {slot} in epoch {epoch}",
	writes:        "a client writes value {what} to n{node}, epoch {epoch} of slot {slot}",
	commits:       "n{node} commits up to record {what} of slot {slot} and acknowledges",
	readsBegin:    "a client reads slot {slot} at n{node}, epoch {epoch}",
	confirms:      "n{other} answers n{node} whether it is still at its epochs",
	readsEnd:      "the read of slot {slot} at n{node}, epoch {epoch}, is answered",
	joins:         "n{node} adds n{other} to pending of slot {slot}",
	seals:         "n{node} seals slot {slot} to n{other}",
	proposes:      "n{node} proposes {proposal} for slot {slot}, epoch {epoch}",
	decided:       "{proposal} for slot {slot} is decided",
	refused:       "{proposal} for slot {slot} is refused",
	isRestored:    "the control plane is restored as of epoch {epoch}",
	reports:       "n{node} registers in the new generation and reports",
	isRecovered:   "slot {slot} is recovered",
	wantChanges:   "another want of slot {slot} is planned",
	misbehaves:    "n{node} does for slot {slot} what the mutant does",
}

func (s step) String() string {
	return strings.NewReplacer("{slot}", strconv.Itoa(s.slot), "{node}", strconv.Itoa(s.node), "{other}", strconv.Itoa(s.other),
		"{epoch}", strconv.Itoa(int(s.epoch)), "{what}", strconv.Itoa(int(s.what)), "{proposal}", proposal(s.what).String(),
	).Replace(stepWords[s.action])
}

// A model is the protocol within bounds, perhaps broken.
type model struct {
	bounds
	mutant mutant
}

// emit takes a state that a step leads to, and what it broke, if anything.
type emit func(next *state, taken step, broken string)

// each emits whatever can happen next.
func (m *model) each(s *state, to emit) {
	for node := range m.nodes {
		m.processSteps(s, node, to)
		for index := range m.slots {
			m.replicaSteps(s, index, node, to)
			if s.nodes[node].up && s.slots[index].replicas[node].leads() {
				m.primarySteps(s, index, node, to)
			}
		}
		for other := range m.nodes {
			m.confirm(s, node, other, to)
		}
	}
	m.controlSteps(s, to)
}

func (m *model) initial() *state {
	s := &state{generation: 1}
	for node := range m.nodes {
		s.nodes[node] = node0()
	}
	for index := range m.slots {
		m.found(&s.slots[index])
	}
	return s
}

func node0() node {
	return node{up: true, boot: 1, knownBoot: 1, registered: true, generation: 1, since: [slotCount]uint8{1, 1}}
}

// found gives a slot its first configuration, adopted by all of its members and open.
func (m *model) found(s *slot) {
	primary := m.isr.members()[0]
	s.epoch, s.history[1] = 1, configuration{primary: primary, isr: m.isr}
	for _, replica := range m.isr.members() {
		r := &s.replicas[replica.node()]
		r.adopt(1)
		r.role, r.matched, r.acked, r.starts[1] = backup, true, 1, 1
		s.sent[replica.node()][1] = ackOf(replica, 0)
		s.replicas[primary.node()].ackedBy[replica.node()] = ackOf(replica, 0)
	}
	leader := &s.replicas[primary.node()]
	leader.role, leader.matched = open, false
	leader.ackedBy[primary.node()], s.sent[primary.node()][1] = 0, 0
	for node := range m.nodes {
		if r := &s.replicas[node]; r.role == unread {
			r.role = outside
		}
	}
}

// facts are what the control plane knows. Unguided, want is whatever makes a proposal stand.
func (m *model) facts(s *state, of *slot) ownership.Facts[member] {
	wanted := func(node int) bool {
		if !m.guided {
			return false
		}
		for _, other := range m.wants[of.want] {
			if other == node {
				return true
			}
		}
		return false
	}
	return ownership.Facts[member]{
		Replicas:   m.replicas,
		Registered: func(x member) bool { return m.mutant == expandByNode || s.nodes[x.node()].known == x.store() },
		Up:         func(x member) bool { return m.mutant == takesOverDown || s.up(x) },
		Wanted:     func(x member) bool { return wanted(x.node()) },
		Missing: func(isr []member) int {
			in, missing := setOf(isr), 0
			for node := range m.nodes {
				if wanted(node) && in[node] == 0 {
					missing++
				}
			}
			return missing
		},
	}
}

// up is what the control plane believes: the node is not down, and runs with this store.
func (s *state) up(x member) bool {
	return !s.nodes[x.node()].down && s.nodes[x.node()].known == x.store()
}

// make appends the next configuration of a slot; false if the bounds leave no room for it.
func (m *model) make(s *slot, next ownership.Config[member]) (broken string, ok bool) {
	if s.epoch == m.epochs {
		return "", false
	}
	broken = brokenConfig(s, next)
	s.epoch++
	s.history[s.epoch] = configuration{primary: next.Primary, isr: setOf(next.ISR)}
	if m.mutant != casWithoutEpoch {
		s.proposed = 0
	}
	return broken, true
}

func brokenConfig(s *slot, next ownership.Config[member]) string {
	now := s.config(s.epoch)
	switch {
	case next.Epoch != api.Epoch(s.epoch+1):
		return "1: an epoch was left out or made twice"
	case !next.InSync(next.Primary):
		return "2: the primary is not in sync"
	case !s.recovering && !now.InSync(next.Primary):
		return "2: the new primary was not in sync before"
	}
	return ""
}
