package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// host is a place in the network: a node, a member of the control plane, or the clients.
type host string

var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset")
)

const (
	delayMin = 100 * time.Microsecond
	delayMax = 3 * time.Millisecond
)

// network carries octets and calls between hosts. What is shut waits, as with TCP: a way that opens again
// carries on, unless somebody gave up meanwhile. What was not delivered when a connection is reset is lost.
type network struct {
	mu        sync.Mutex
	random    *rand.Rand
	listeners map[host]func(net.Conn)
	shut      map[[2]host]bool
	frozen    map[host]bool
	streams   map[*stream]bool
	changed   chan struct{} // closed and replaced when a way opens or shuts
	calls     sync.WaitGroup
	closed    bool
}

func newNetwork(random *rand.Rand) *network {
	return &network{
		random: random, listeners: make(map[host]func(net.Conn)), shut: make(map[[2]host]bool),
		frozen: make(map[host]bool), streams: make(map[*stream]bool), changed: make(chan struct{}),
	}
}

// open reports whether octets go from one host to another now.
func (n *network) open(from, to host) bool {
	return !n.shut[[2]host{from, to}] && !n.frozen[from] && !n.frozen[to]
}

// reach reports whether two hosts hear each other.
func (n *network) reach(a, b host) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open(a, b) && n.open(b, a)
}

// set shuts or opens the way from one host to another, and no way back.
func (n *network) set(from, to host, shut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shut[[2]host{from, to}] = shut
	n.stir()
}

// freeze stands a host still, as far as others can tell.
func (n *network) freeze(at host, frozen bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen[at] = frozen
	n.stir()
}

// healAll opens every way.
func (n *network) healAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.shut)
	clear(n.frozen)
	n.stir()
}

func (n *network) stir() {
	close(n.changed)
	n.changed = make(chan struct{})
	for s := range n.streams {
		s.wake()
	}
}

// listen has a host take connections; nil: it takes none any more, and those it has are reset.
func (n *network) listen(at host, accept func(net.Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[at] = accept
	if accept == nil {
		n.reset(func(s *stream) bool { return s.from == at || s.to == at })
	}
}

// cut resets the connections between two hosts.
func (n *network) cut(a, b host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reset(func(s *stream) bool { return s.from == a && s.to == b || s.from == b && s.to == a })
}

func (n *network) reset(which func(*stream) bool) {
	for s := range n.streams {
		if which(s) {
			s.broken = errReset
			s.wake()
			delete(n.streams, s)
		}
	}
}

func (n *network) delay() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.someDelay()
}

func (n *network) someDelay() time.Duration {
	if n.random.IntN(200) == 0 {
		return time.Duration(n.random.IntN(200)) * time.Millisecond
	}
	return delayMin + time.Duration(n.random.Int64N(int64(delayMax-delayMin)))
}

// pass waits until a message would have come from one host to another.
func (n *network) pass(ctx context.Context, from, to host) error {
	timer := time.NewTimer(n.delay())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		n.mu.Lock()
		open, changed := n.open(from, to), n.changed
		n.mu.Unlock()
		if open {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lateness is how long a call may be under way after its caller gave up.
const lateness = 20 * time.Second

// call has f done at another host. If ctx ends first, f may be done later all the same, as with a request that
// a network held back; its answer is lost.
func call[A any](ctx context.Context, n *network, from, to host, f func(context.Context) (A, error)) (A, error) {
	type outcome struct {
		answer A
		err    error
	}
	var none A
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return none, errRefused
	}
	n.calls.Add(1)
	n.mu.Unlock()
	done := make(chan outcome, 1)
	go func() {
		defer n.calls.Done()
		late, cancel := context.WithTimeout(context.Background(), lateness)
		defer cancel()
		if n.pass(late, from, to) != nil {
			return
		}
		answer, err := f(late)
		if n.pass(late, to, from) == nil {
			done <- outcome{answer, err}
		}
	}()
	select {
	case out := <-done:
		return out.answer, out.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// close waits for calls that are under way; none begin any more.
func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.calls.Wait()
}

// dial connects two hosts.
func (n *network) dial(ctx context.Context, from, to host) (net.Conn, error) {
	if err := errors.Join(n.pass(ctx, from, to), n.pass(ctx, to, from)); err != nil {
		return nil, err
	}
	n.mu.Lock()
	accept := n.listeners[to]
	if accept == nil || n.listeners[from] == nil {
		n.mu.Unlock()
		return nil, errRefused
	}
	there, back := n.stream(from, to), n.stream(to, from)
	n.mu.Unlock()
	accept(&conn{in: there, out: back})
	return &conn{in: back, out: there}, nil
}
