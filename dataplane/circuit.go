package dataplane

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
)

// When a node that cannot be connected to is given up, and how often it is looked at then.
const (
	// circuitPatience is how long connecting must have failed, without one success: as long as a request tries it by
	// itself, so that a node which restarts in that time costs nobody anything.
	circuitPatience = dialPatience
	// circuitFailures is how many attempts must have failed in that time.
	circuitFailures = 5
	// circuitMemory is the longest pause between two failures that belong together.
	circuitMemory = 10 * time.Second
	// probeEvery is how often one request may try; probeLease how long none follows one whose outcome is not known:
	// longer than a dial takes.
	probeEvery = 100 * time.Millisecond
	probeLease = 5 * time.Second
)

// circuits know of nodes that cannot be connected to: requests for them are refused at once but for
// one at a time, which tries. They decide how soon a request fails, and never where it goes. While
// nothing is wrong they cost one load of a word that nobody writes.
type circuits struct {
	troubled atomic.Int32 // entries of nodes: 0 almost always

	mu    sync.Mutex
	nodes map[forward.Target]*circuit
}

// circuit is of one node at one address: elsewhere it is another.
type circuit struct {
	failures    int
	first, last time.Time // of the failures since it was connected to last
	open        bool
	probe       time.Time // when the next request may try, while open
}

// admit reports whether a request may try a node, and whether it does so as the one that probes.
func (c *circuits) admit(to forward.Target) (may, probes bool) {
	if c.troubled.Load() == 0 {
		return true, false
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.nodes[to]
	switch {
	case node == nil || !node.open:
		return true, false
	case now.Before(node.probe):
		return false, false
	default:
		node.probe = now.Add(probeLease)
		return true, true
	}
}

// connected notes that a node took a connection, or answered on one: it is as if nothing had been. It reports
// whether the node had been given up.
func (c *circuits) connected(to forward.Target) (closed bool) {
	return c.troubled.Load() > 0 && c.forget(to)
}

// forget drops what is known of a node, for there is newer word of it.
func (c *circuits) forget(to forward.Target) (closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.nodes[to]
	delete(c.nodes, to)
	c.troubled.Store(int32(len(c.nodes)))
	return node != nil && node.open
}

// failed notes that a node could not be connected to; opened says that it is given up from now on.
func (c *circuits) failed(to forward.Target, now time.Time) (opened bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.nodes[to]
	if node == nil || !node.open && now.Sub(node.last) > circuitMemory {
		node = &circuit{first: now}
		c.note(to, node, now)
	}
	node.failures++
	node.last, node.probe = now, now.Add(probeEvery)
	opened = !node.open && node.failures >= circuitFailures && now.Sub(node.first) >= circuitPatience
	node.open = node.open || opened
	return opened
}

// note enters a node, and drops those that nobody has asked for in a long time: of rings that have passed.
func (c *circuits) note(to forward.Target, node *circuit, now time.Time) {
	if c.nodes == nil {
		c.nodes = make(map[forward.Target]*circuit)
	}
	for other, is := range c.nodes {
		if now.Sub(is.last) > circuitMemory {
			delete(c.nodes, other)
		}
	}
	c.nodes[to] = node
	c.troubled.Store(int32(len(c.nodes)))
}

// ofThisMachine reports a failure to connect that says nothing of the node: this process, or machine, is out of something.
func ofThisMachine(err error) bool {
	return slices.ContainsFunc([]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL},
		func(lack error) bool { return errors.Is(err, lack) })
}

// givenUp are the nodes that are.
func (c *circuits) givenUp() (nodes []api.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for to, node := range c.nodes {
		if node.open {
			nodes = append(nodes, to.Node)
		}
	}
	return nodes
}
