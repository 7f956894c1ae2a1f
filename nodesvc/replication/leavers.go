package replication

import (
	"sync"

	"github.com/stead-io/stead/api"
)

// leavers are the processes that are handing their slots over because they stop. Whoever takes a slot over
// knows of it, and must not hand it back although the other is wanted first and looks well: the slot would go to
// and fro until the process is gone. It is forgotten with the process: the next has another nonce.
type leavers struct {
	mu     sync.RWMutex
	nonces map[api.NodeID]string
}

func newLeavers() *leavers { return &leavers{nonces: make(map[api.NodeID]string)} }

// note remembers the process that is a node's now.
func (l *leavers) note(node api.NodeID, engine *Engine) {
	hello, linked := engine.peer(node)
	if !linked {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nonces[node] = hello.Nonce
}

// include reports whether a node's process is one of them.
func (l *leavers) include(node api.NodeID, nonce string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	noted, known := l.nonces[node]
	return known && noted == nonce
}
