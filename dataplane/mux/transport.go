package mux

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
)

// Bounds on finding out what a node speaks.
const (
	// declineMemory is how long a node that answered the offer in HTTP/1.1 is left in peace.
	declineMemory = time.Minute
	// redialMin and redialMax are how soon a node is offered it again after the connection failed.
	redialMin = 100 * time.Millisecond
	redialMax = 15 * time.Second
	// offerTimeout is for connection, upgrade and hello.
	offerTimeout = 5 * time.Second
	// idleTimeout closes connections that carried nothing for as long, or twice that.
	idleTimeout = time.Minute
)

// fallback is the way of nodes that do not speak stead-mux; *forward.Transport is one.
type fallback interface {
	Send(to forward.Target, request *forward.Request) (forward.Answer, error)
}

// Config of a Transport. Every field must be set.
type Config struct {
	// Dial connects to a node.
	Dial func(context.Context, forward.Target) (net.Conn, error)
	// Connections is how many are kept to each node.
	Connections int
	// Fallback carries what has no connection to go over.
	Fallback fallback
}

// Stats count what a Transport did. They only rise, but for Open.
type Stats struct {
	Requests atomic.Uint64 // sent on streams
	Connects atomic.Uint64 // connections that were upgraded
	Declines atomic.Uint64 // offers that were answered in HTTP/1.1
	Failures atomic.Uint64 // offers that got no answer
	Repeats  atomic.Uint64 // requests sent again by HTTP/1.1
	Open     atomic.Int64  // connections open now
}

// Transport sends requests to nodes. It is safe for concurrent use.
type Transport struct {
	Stats Stats

	config Config
	ctx    context.Context // of all that runs
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the reaper, offers, and readers of connections

	mu     sync.RWMutex
	closed bool
	nodes  map[forward.Target]*node
}

// New starts a transport.
func New(config Config) *Transport {
	ctx, cancel := context.WithCancel(context.Background())
	t := &Transport{config: config, ctx: ctx, cancel: cancel, nodes: make(map[forward.Target]*node)}
	t.tasks.Go(t.reap)
	return t
}

// Close closes every connection, and waits for those who read them. The fallback is its owner's to close.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	for _, n := range t.all() {
		n.close()
	}
	t.tasks.Wait()
}

// Send carries a request to a node and returns when the head of its answer is there. The error is a
// *forward.Failure.
func (t *Transport) Send(to forward.Target, r *forward.Request) (forward.Answer, error) {
	n := t.node(to)
	if s := n.begin(r); s != nil {
		t.Stats.Requests.Add(1)
		count(r.Stats, func(s *forward.Stats) { s.Reuses.Add(1) })
		failure, again := s.exchange(r)
		if failure == nil {
			return s, nil
		}
		if !again {
			return nil, failure
		}
		t.Stats.Repeats.Add(1)
		count(r.Stats, func(s *forward.Stats) { s.Retries.Add(1) })
		r.Repeats++
	}
	return t.config.Fallback.Send(to, r)
}

// count counts for a request's node.
func count(of *forward.Stats, add func(*forward.Stats)) {
	if of != nil {
		add(of)
	}
}

func (t *Transport) node(to forward.Target) *node {
	t.mu.RLock()
	n := t.nodes[to]
	t.mu.RUnlock()
	if n != nil {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n = t.nodes[to]; n == nil {
		n = &node{home: t, target: to, links: make([]atomic.Pointer[link], t.config.Connections), live: make(map[*link]struct{})}
		t.nodes[to] = n
	}
	return n
}

func (t *Transport) all() []*node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	nodes := make([]*node, 0, len(t.nodes))
	for _, n := range t.nodes {
		nodes = append(nodes, n)
	}
	return nodes
}

// run starts a task, unless the transport is closed.
func (t *Transport) run(task func()) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.closed {
		t.tasks.Go(task)
	}
	return !t.closed
}

// reap closes connections that carry nothing.
func (t *Transport) reap() {
	ticker := time.NewTicker(idleTimeout)
	defer ticker.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-ticker.C:
			for _, n := range t.all() {
				n.expire()
			}
		}
	}
}

// node is what is known of one node at one address.
type node struct {
	home   *Transport
	target forward.Target
	links  []atomic.Pointer[link]

	offering atomic.Bool
	next     atomic.Int64 // when it may be offered the protocol again, nanoseconds
	failures int          // offers in a row without an answer; the offering goroutine's

	mu   sync.Mutex
	live map[*link]struct{} // all connections, those too that open no more streams
}

// begin opens a stream for a request on one of the connections; nil if none takes it.
func (n *node) begin(r *forward.Request) *stream {
	first := 0
	if len(n.links) > 1 {
		first = rand.IntN(len(n.links))
	}
	for i := range n.links {
		l := n.links[(first+i)%len(n.links)].Load()
		if l == nil {
			n.offer(r.Stats)
			continue
		}
		if s := l.begin(r); s != nil {
			return s
		}
	}
	return nil
}

// offer finds out, beside the requests, whether the node speaks the protocol, and connects, which counts for the node.
func (n *node) offer(stats *forward.Stats) {
	if n.offering.Load() || time.Now().UnixNano() < n.next.Load() || !n.offering.CompareAndSwap(false, true) {
		return
	}
	if !n.home.run(func() { n.connect(stats) }) {
		n.offering.Store(false)
	}
}

// connect makes the connections that lack. Nodes that take connections and drop them are not offered one after
// another.
func (n *node) connect(stats *forward.Stats) {
	defer n.offering.Store(false)
	n.next.Store(time.Now().Add(redialMin).UnixNano())
	for i := range n.links {
		if n.links[i].Load() != nil {
			continue
		}
		l, err := n.dial()
		if err != nil {
			n.postpone(err)
			return
		}
		n.failures = 0
		n.home.Stats.Connects.Add(1)
		count(stats, func(s *forward.Stats) { s.Connects.Add(1) })
		l.drop = func() { n.links[i].CompareAndSwap(l, nil) }
		n.keep(l, true)
		n.links[i].Store(l)
		if !n.home.run(func() { n.serve(l) }) {
			l.fail(errClosed)
			n.keep(l, false)
			return
		}
	}
}

// serve reads a connection to its end.
func (n *node) serve(l *link) {
	n.home.Stats.Open.Add(1)
	defer n.home.Stats.Open.Add(-1)
	defer n.keep(l, false)
	l.fail(l.read())
}

func (n *node) keep(l *link, alive bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if alive {
		n.live[l] = struct{}{}
	} else {
		delete(n.live, l)
	}
}

func (n *node) all() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	links := make([]*link, 0, len(n.live))
	for l := range n.live {
		links = append(links, l)
	}
	return links
}

// postpone says when the next offer may be made.
func (n *node) postpone(err error) {
	wait := declineMemory
	if err == errDeclined {
		n.home.Stats.Declines.Add(1)
		n.failures = 0
	} else {
		n.home.Stats.Failures.Add(1)
		wait = min(redialMin<<min(n.failures, 10), redialMax)
		n.failures++
	}
	n.next.Store(time.Now().Add(wait).UnixNano())
}

func (n *node) close() {
	for _, l := range n.all() {
		l.fail(errClosed)
	}
}

func (n *node) expire() {
	for _, l := range n.all() {
		l.expire()
	}
}
