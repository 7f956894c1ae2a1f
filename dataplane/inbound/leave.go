package inbound

import (
	"io"
	"sync"
	"sync/atomic"
)

// leaving is what a Conn knows of its client's going. A client that closes and one that closes only its own
// side look alike, until something is written to it; either is taken for gone when it does so while an
// exchange lasts, as net/http's server and most proxies do. What is answered sooner is answered to both.
type leaving struct {
	turn   atomic.Uint32 // counts requests
	slow   atomic.Uint32 // the one that lasts, and is watched
	hungUp atomic.Bool   // nothing more comes from the client
	token  atomic.Int32  // by which it is watched; 0 if it is not

	mu   sync.Mutex
	held io.Closer // closed when the client goes
	gone bool

	seen uint32 // the turn at the last round; for the watch alone
}

// Hold names what is closed if the client leaves while its answer is awaited; nil: nothing any more. False: it
// has left already.
func (c *Conn) Hold(closer io.Closer) bool {
	c.leaving.mu.Lock()
	defer c.leaving.mu.Unlock()
	c.leaving.held = closer
	return !c.leaving.gone
}

// abandon gives up what is done for a client that has left.
func (c *Conn) abandon() {
	c.leaving.mu.Lock()
	defer c.leaving.mu.Unlock()
	c.leaving.gone = true
	if c.leaving.held != nil {
		_ = c.leaving.held.Close()
	}
}

// hangUp notes that nothing more comes from the client.
func (c *Conn) hangUp() {
	c.leaving.hungUp.Store(true)
	if c.active.Load() && c.leaving.slow.Load() == c.leaving.turn.Load() {
		c.abandon()
	}
}
