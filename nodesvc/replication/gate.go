package replication

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Changes of slots that need not hurry: how many at once, and how long each place rests after one.
const (
	handOversMax  = 1  // slots handed over: their requests wait meanwhile
	handOversRest = 15 // times as long as it took
	membersMax    = 2  // slots whose in-sync set changes; they go to the control plane together
	membersPause  = 50 * time.Millisecond
	repairsMax    = 16 // slots that get a replica they lack
	repairsPause  = 50 * time.Millisecond
	startsMax     = 1 // slots that begin to give themselves to another node
	startsPause   = 50 * time.Millisecond
	leavesMax     = 16 // slots handed over by a node that stops
	restMax       = 250 * time.Millisecond
)

// idleAfter is how long no request must have come for changes to go on without a rest.
const idleAfter = time.Second

// gate lets few slots change at a time. Each change costs the control plane a write and every replica a sync, and
// requests of the slot wait for some of that: the longer, the more slots do so together. So each place rests
// after a change: where requests come moves are slow, and the slower the longer they take. Nothing rests on a node
// that serves nothing or stops.
type gate struct {
	engine *Engine
	width  int
	factor time.Duration // of the time a change took, for which its place rests
	pause  time.Duration // at least, and at most twice as long: nodes that began together are not to stay in step

	mu      sync.Mutex
	taken   int
	waiting map[*slot]bool
}

func newGate(engine *Engine, width int, factor, pause time.Duration) *gate {
	return &gate{engine: engine, width: width, factor: factor, pause: pause, waiting: make(map[*slot]bool)}
}

// enter lets the slot through, or has it attended to when it may try again. Once it is through, leave is to be
// called at the end of the change.
func (g *gate) enter(s *slot) (leave func()) {
	width := g.width
	if g.engine.leaving() {
		width = max(width, leavesMax)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.taken >= width {
		g.waiting[s] = true
		return nil
	}
	delete(g.waiting, s)
	g.taken++
	began := time.Now()
	return func() { g.rest(time.Since(began)) }
}

// rest opens the place of a change that is over, after a while.
func (g *gate) rest(took time.Duration) {
	if g.engine.unhindered() {
		g.open()
		return
	}
	rest := min(g.factor*took, restMax)
	if g.pause > 0 {
		rest = max(rest, g.pause+rand.N(g.pause))
	}
	time.AfterFunc(rest, g.open)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken--
	for s := range g.waiting {
		delete(g.waiting, s)
		g.engine.attend(s)
		return
	}
}

// changes is the gate that a change of the slot's in-sync set passes. What lacks a replica does not wait for what only
// moves.
func (s *slot) changes() *gate {
	if s.short() {
		return s.engine.repairs
	}
	return s.engine.members
}

// short reports whether fewer are in sync than the cluster's settings say: one more loss may lose the slot.
func (s *slot) short() bool { return len(s.config.ISR) < s.engine.replicas() }

// unhindered reports whether changes need not spare requests: none has come for a while, or the node is leaving.
func (e *Engine) unhindered() bool {
	return e.leaving() || time.Since(time.Unix(0, e.latencies.last.Load())) > idleAfter
}
