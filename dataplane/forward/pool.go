package forward

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/stead-io/stead/dataplane/socket"
)

var errClosed = errors.New("the transport is closed")

// pool keeps the connections to one node. The idle ones are a stack: the most recently used is
// the least likely to have been closed, and the rest may age and go.
type pool struct {
	target  Target
	idleMax int
	stats   *Stats

	mu     sync.Mutex
	idle   []*connection            // the last one was used last
	open   map[*connection]struct{} // all, those in use too
	closed bool
}

func newPool(target Target, idleMax int, stats *Stats) *pool {
	return &pool{target: target, idleMax: idleMax, stats: stats, open: make(map[*connection]struct{})}
}

// adopt makes a socket a connection of the pool, in use.
func (p *pool) adopt(conn net.Conn) (*connection, error) {
	below := socket.Underlying(conn)
	c := &connection{Conn: conn, socket: below, plain: socket.Of(conn), home: p, probe: newProbe(below)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return nil, errClosed
	}
	p.open[c] = struct{}{}
	return c, nil
}

// take returns the idle connection that was used last, or nil. Whether something has come on it meanwhile, an octet
// or the end, is for its user to find out before it sends anything: what would be read next is no answer.
func (p *pool) take() *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return c
}

// put keeps a connection for later; false if there is no room for it.
func (p *pool) put(c *connection) bool {
	c.since = time.Now()
	c.rest()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.idleMax {
		return false
	}
	p.idle = append(p.idle, c)
	return true
}

// forget drops a connection that its user closes.
func (p *pool) forget(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// expire closes the connections that have been idle since before a time: those at the bottom.
func (p *pool) expire(before time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && p.idle[n].since.Before(before) {
		n++
	}
	stale := append([]*connection(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.mu.Unlock()
	for _, c := range stale {
		c.discard()
	}
}

// close closes every connection and refuses new ones.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.idle = nil
	for c := range p.open {
		_ = c.socket.Close()
	}
	clear(p.open)
}
