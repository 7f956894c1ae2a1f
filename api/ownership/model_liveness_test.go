package ownership_test

import (
	"slices"
	"testing"
)

// calamities are steps that nobody may hope for: without any of them a slot must get to be served.
// Who really is down is found to be.
var calamities = []action{crashes, isSuspected, wantChanges, writes, readsBegin, isRestored}

func hoped(before *state, taken step) bool {
	if taken.action == isSuspected && !before.nodes[taken.node].up {
		return true
	}
	return !slices.Contains(calamities, taken.action)
}

// A graph is all states within bounds, with the steps between them.
type graph struct {
	states []state
	index  map[state]int32
	from   []int32   // the state that each was first reached from
	by     []step    // and how
	before [][]int32 // states that lead to each by themselves
}

func (m *model) graph() *graph {
	initial := m.initial()
	g := &graph{index: map[state]int32{*initial: 0}, states: []state{*initial}, from: []int32{-1}, by: []step{{}}, before: [][]int32{nil}}
	for at := int32(0); int(at) < len(g.states); at++ {
		present := g.states[at]
		m.each(&present, func(next *state, taken step, _ string) { g.add(at, next, taken) })
	}
	return g
}

func (g *graph) add(at int32, next *state, taken step) {
	to, known := g.index[*next]
	if !known {
		to = int32(len(g.states))
		g.index[*next] = to
		g.states, g.from, g.by, g.before = append(g.states, *next), append(g.from, at), append(g.by, taken), append(g.before, nil)
	}
	if hoped(&g.states[at], taken) {
		g.before[to] = append(g.before[to], at)
	}
}

// wedged are the states from which no state that is good can be reached.
func (g *graph) wedged(good func(*state) bool) (states []int32) {
	reaches := make([]bool, len(g.states))
	var open []int32
	for i := range g.states {
		if good(&g.states[i]) {
			reaches[i], open = true, append(open, int32(i))
		}
	}
	for len(open) > 0 {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		for _, before := range g.before[at] {
			if !reaches[before] {
				reaches[before], open = true, append(open, before)
			}
		}
	}
	for i, good := range reaches {
		if !good {
			states = append(states, int32(i))
		}
	}
	return states
}

func (g *graph) trace(to int32) (steps []step) {
	for at := to; g.from[at] >= 0; at = g.from[at] {
		steps = append(steps, g.by[at])
	}
	slices.Reverse(steps)
	return steps
}

// served reports whether the slot is served by its present primary, or the bounds leave too little room for
// it to be, or its only copy is gone.
func (m *model) served(s *state) bool {
	at := &s.slots[0]
	primary := at.history[at.epoch].primary.node()
	return m.outOfRoom(at) || at.replicas[primary].adopted == at.epoch && m.completes(s, at, primary)
}

// settled reports whether the slot is served, by whom and with whom it should be.
func (m *model) settled(s *state) bool {
	at := &s.slots[0]
	if m.outOfRoom(at) {
		return true
	}
	want, isr := m.wants[at.want], at.history[at.epoch].isr
	for node := range m.nodes {
		if (isr[node] != 0) != slices.Contains(want, node) {
			return false
		}
	}
	return at.history[at.epoch].primary.node() == want[0] && m.served(s)
}

func (m *model) outOfRoom(at *slot) bool { return at.lost || at.epoch == m.epochs }

// Messages arrive, silence is noticed, and crashed nodes come back: no state is reached from which the slot could
// not get to be served, and to where it is wanted. Where crashed nodes stay away it is served by the others.
func TestNothingWedges(t *testing.T) {
	for _, within := range lively {
		t.Run(within.name, func(t *testing.T) {
			model := &model{bounds: within}
			g := model.graph()
			t.Logf("%d states", len(g.states))
			if len(g.states) < within.least {
				t.Errorf("that is less than %d: what is searched has shrunk", within.least)
			}
			checkWedged(t, g, "served", model.served)
			if !within.away {
				checkWedged(t, g, "settled", model.settled)
			}
		})
	}
}

func checkWedged(t *testing.T, g *graph, what string, good func(*state) bool) {
	t.Helper()
	if wedged := g.wedged(good); len(wedged) > 0 {
		t.Errorf("%d states never get to be %s, the first after%v", len(wedged), what, outcome{whole: true, trace: g.trace(wedged[0])})
	}
}

// lively are bounds under which primaries do as Next says, with room for more epochs than that takes.
var lively = []bounds{
	{name: "a move", nodes: 3, slots: 1, epochs: 7, writes: 1, isr: pair(), guided: true, replicas: 2,
		wants: [][]int{{0, 1}, {1, 2}}, replans: 1, least: 2_000},
	{name: "a crash, disk", nodes: 2, slots: 1, epochs: 6, writes: 1, crashes: 1, suspicions: 1,
		isr: pair(), guided: true, replicas: 2, wants: [][]int{{0, 1}}, least: 40_000},
	{name: "a crash, memory", nodes: 2, slots: 1, epochs: 6, writes: 1, crashes: 1, suspicions: 1,
		memory: true, isr: pair(), guided: true, replicas: 2, wants: [][]int{{0, 1}}, least: 30_000},
	{name: "a crash during a move", nodes: 3, slots: 1, epochs: 6, crashes: 1, isr: sole(), guided: true,
		replicas: 1, wants: [][]int{{0}, {1}}, replans: 1, least: 1_000},
	{name: "a node gone for good", nodes: 2, slots: 1, epochs: 6, writes: 1, crashes: 1, suspicions: 2,
		away: true, isr: pair(), guided: true, replicas: 2, wants: [][]int{{0, 1}}, least: 80},
	{name: "one of three gone for good", nodes: 3, slots: 1, epochs: 5, writes: 1, crashes: 1, suspicions: 1, away: true, isr: trio(),
		guided: true, replicas: 3, wants: [][]int{{0, 1, 2}}, least: 700},
	{name: "a restore", nodes: 2, slots: 1, epochs: 6, crashes: 1, suspicions: 1, restores: 1, isr: pair(), awaitEverybody: true,
		guided: true, replicas: 2, wants: [][]int{{0, 1}}, least: 50_000},
	moveCut,
}

var moveCut = bounds{name: "a node gone for good during a move", nodes: 3, slots: 1, epochs: 7,
	crashes: 1, suspicions: 1, away: true, isr: pair(), guided: true, replicas: 2, wants: [][]int{{0, 1}, {1, 2}}, replans: 1, least: 2_500}
