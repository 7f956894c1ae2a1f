package h2c

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
)

// Bounds on connections to nodes.
const (
	// connectionsMax is how many take requests at one node, streamsMax how many requests each carries at a time, if
	// the node allows as many; those beyond all of them wait for their turn.
	connectionsMax = 16
	streamsMax     = 512
	// idleTimeout closes connections that carry nothing.
	idleTimeout = time.Minute
	// unheardMax is how long a node's machine may acknowledge nothing.
	unheardMax = 20 * time.Second
	// pingAfter and pingTimeout find out that a node does not even read. gRPC servers end connections on which they are
	// asked more often than every five minutes and have nothing to say themselves, with all the calls there.
	pingAfter   = 5*time.Minute + 10*time.Second
	pingTimeout = 5 * time.Second
	// continueWait is how long a body waits for 100 (Continue), where its head asks for that.
	continueWait = time.Second
	// answerHeadMax bounds the head of an answer, in HTTP/2's way of counting.
	answerHeadMax = 32 << 10
	// windowStream is how many octets of an answer come before somebody has taken them. windowConnection has room for as
	// many of all: answers that nobody takes hold up no other.
	windowStream     = 128 << 10
	windowConnection = streamsMax * windowStream
)

// Config of a Transport. Every field must be set.
type Config struct {
	// Dial connects to a node.
	Dial func(context.Context, forward.Target) (net.Conn, error)
	// Scheme is that of requests as nodes see them: http, or https where Dial speaks TLS.
	Scheme string
	// Stats count what the transport does, beside others.
	Stats *forward.Stats
}

// Transport sends requests to nodes. It is safe for concurrent use.
type Transport struct {
	config Config
	ctx    context.Context // of all that runs
	cancel context.CancelFunc

	mu    sync.Mutex
	nodes map[forward.Target]*node
}

// New makes a transport.
func New(config Config) *Transport {
	ctx, cancel := context.WithCancel(context.Background())
	return &Transport{config: config, ctx: ctx, cancel: cancel, nodes: make(map[forward.Target]*node)}
}

// Close gives up what is under way and closes every connection.
func (t *Transport) Close() {
	t.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.nodes {
		n.close()
	}
}

// Send carries a request to a node and returns when the head of its answer is there. One that the node did not take, or
// that a connection used before has lost, is sent once more on a fresh one, if it may be. The error is a *forward.Failure.
func (t *Transport) Send(to forward.Target, r *forward.Request) (forward.Answer, error) {
	n := t.node(to)
	for again := false; ; {
		conn, fresh, err := n.take(r, again)
		if err != nil {
			return nil, &forward.Failure{Stage: forward.NotConnected, Err: err}
		}
		e := newExchange(t.ctx, conn, r)
		failure, may := e.send(t.config.Scheme)
		if failure == nil {
			return e, nil
		}
		unsent := unusable(failure.Err)
		if unsent || wentAway(failure.Err) {
			n.retire(conn)
		}
		if !may || fresh && !unprocessed(failure.Err) || again && (fresh || !unsent) {
			return nil, failure
		}
		again = again || fresh || !unsent
		t.count(r, func(s *forward.Stats) { s.Retries.Add(1) })
		r.Repeats++
	}
}

// count counts for the transport and for the request's node.
func (t *Transport) count(r *forward.Request, add func(*forward.Stats)) {
	add(t.config.Stats)
	if r.Stats != nil {
		add(r.Stats)
	}
}

func (t *Transport) node(to forward.Target) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[to]
	if n == nil {
		n = newNode(t, to)
		t.nodes[to] = n
	}
	return n
}

// node is the connections to one node at one address.
type node struct {
	home    *Transport
	target  forward.Target
	via     *http.Transport
	dialled chan struct{} // full while somebody connects: one at a time

	mu      sync.Mutex
	conns   []*http.ClientConn // those that take requests
	retired []*http.ClientConn // those that only finish what they carry
	closed  bool
}

func newNode(home *Transport, target forward.Target) *node {
	n := &node{home: home, target: target, dialled: make(chan struct{}, 1)}
	n.via = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dial(ctx) },
		Protocols:          new(http.Protocols),
		DisableCompression: true, IdleConnTimeout: idleTimeout, ExpectContinueTimeout: continueWait, MaxResponseHeaderBytes: answerHeadMax,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
			MaxReceiveBufferPerStream: windowStream, MaxReceiveBufferPerConnection: windowConnection,
		},
	}
	n.via.Protocols.SetUnencryptedHTTP2(true)
	return n
}

func (n *node) dial(ctx context.Context) (net.Conn, error) {
	conn, err := n.home.config.Dial(ctx, n.target)
	if err != nil {
		return nil, err
	}
	if err := endUnheard(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot set up the socket: %w", err)
	}
	return conn, nil
}

// take reserves a place on a connection for a request: on one that is there unless a fresh one is asked for.
func (n *node) take(r *forward.Request, anew bool) (conn *http.ClientConn, fresh bool, err error) {
	if conn = n.used(r, anew); conn != nil {
		return conn, false, nil
	}
	ctx, cancel := context.WithDeadline(n.home.ctx, r.Deadline)
	defer cancel()
	select {
	case n.dialled <- struct{}{}:
		defer func() { <-n.dialled }()
	case <-ctx.Done():
		return nil, false, fmt.Errorf("cannot connect to %s: %w", n.target.Address, ctx.Err())
	}
	if conn = n.used(r, anew); conn != nil { // somebody else has connected meanwhile
		return conn, false, nil
	}
	conn, err = n.connect(ctx, r)
	return conn, true, err
}

// used is a connection that is there; nil if there is none to take.
func (n *node) used(r *forward.Request, anew bool) (conn *http.ClientConn) {
	if !anew {
		conn = n.reserve()
	}
	if conn == nil {
		conn = n.crowded()
	}
	if conn != nil {
		n.home.count(r, func(s *forward.Stats) { s.Reuses.Add(1) })
	}
	return conn
}

// reserve finds a connection with room for a request; nil if there is none.
func (n *node) reserve() *http.ClientConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := n.conns[:0]
	var found *http.ClientConn
	for _, conn := range n.conns {
		if conn.Err() != nil {
			continue
		}
		kept = append(kept, conn)
		if found == nil && conn.InFlight() < streamsMax && conn.Reserve() == nil {
			found = conn
		}
	}
	clear(n.conns[len(kept):])
	n.conns = kept
	return found
}

// retire no longer counts on a connection: it takes no more requests, and may carry those it has for long.
func (n *node) retire(conn *http.ClientConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.retired = slices.DeleteFunc(n.retired, func(one *http.ClientConn) bool { return one.Err() != nil })
	if i := slices.Index(n.conns, conn); i >= 0 {
		n.conns = slices.Delete(n.conns, i, i+1)
		n.retired = append(n.retired, conn)
	}
}

// crowded is a connection to wait for where there are as many as may be; else nil.
func (n *node) crowded() *http.ClientConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.conns) < connectionsMax {
		return nil
	}
	return n.conns[0]
}

func (n *node) connect(ctx context.Context, r *forward.Request) (*http.ClientConn, error) {
	conn, err := n.via.NewClientConn(ctx, "http", api.HostPort(n.target.Address))
	if err != nil {
		n.home.count(r, func(s *forward.Stats) { s.ConnectFailures.Add(1) })
		return nil, fmt.Errorf("cannot connect to %s: %w", n.target.Address, err)
	}
	n.home.count(r, func(s *forward.Stats) { s.Connects.Add(1) })
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = conn.Close()
		return nil, errClosed
	}
	n.conns = append(n.conns, conn)
	_ = conn.Reserve()
	return conn, nil
}

func (n *node) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, conn := range slices.Concat(n.conns, n.retired) {
		_ = conn.Close()
	}
}
