package nodesvc

import "sync"

// gate counts the requests inside. Once shut it lets nobody in.
type gate struct {
	mu     sync.Mutex
	inside int
	empty  chan struct{} // nil while open; closed when shut and nobody is inside
}

// enter lets a request in, unless the gate is shut; who entered must leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.empty != nil {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
	}
}

// shut closes the gate for good and returns a channel that is closed when the last request has left.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.empty == nil {
		g.empty = make(chan struct{})
		if g.inside == 0 {
			close(g.empty)
		}
	}
	return g.empty
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.empty != nil
}
