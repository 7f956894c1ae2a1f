package replication

import (
	"sync"
	"time"
)

const (
	// handOversMax is how many slots are handed over at once: their requests wait meanwhile.
	handOversMax = 2
	// leavesMax is that of a node that stops.
	leavesMax = 16
	// membersMax is how many slots change their in-sync set at once, of those that need not hurry. They go to the
	// control plane together.
	membersMax   = 16
	membersPause = 100 * time.Millisecond
	// changeRest is how many times as long as a change took the next one waits.
	changeRest = 3
	// startPause is the time between two slots that begin to give themselves to another node.
	startPause = 25 * time.Millisecond
)

// gate lets few slots change at a time. Each change costs the control plane a write and every replica a sync, and
// requests of the slot wait for some of that: the longer, the more slots do so together. So each place rests
// after a change, in proportion to how long that took: where machines are busy moves are slow, not requests. A
// node that stops has no time for that.
type gate struct {
	engine *Engine
	width  int
	pause  time.Duration // of a place after a change, at least

	mu      sync.Mutex
	taken   int
	waiting map[*slot]bool
}

func newGate(engine *Engine, width int, pause time.Duration) *gate {
	return &gate{engine: engine, width: width, pause: pause, waiting: make(map[*slot]bool)}
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
	if g.engine.leaving() {
		g.open()
		return
	}
	time.AfterFunc(max(g.pause, changeRest*took), g.open)
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
