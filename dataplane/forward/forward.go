package forward

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

// Request is what is sent to a node.
type Request struct {
	// Head is the whole head as it goes out; see AppendRequest.
	Head []byte
	// Body is nil if there is none.
	Body *Body
	// HeadOnly: the answer has no body whatever its head says.
	HeadOnly bool
	// Safe: the request asks for no change, so running it twice does no harm. A write that is idempotent is
	// not safe: run again after another's write, it undoes that.
	Safe bool
	// ExpectContinue: the head asks for 100 (Continue), and the body waits for it a while.
	ExpectContinue bool
	// Deadline for connecting and, if the body does not stream, for the head of the answer.
	Deadline time.Time
	// Wait is for the head of the answer behind a body that streamed.
	Wait time.Duration
	// Patience is how long a stream may stand still, in either direction.
	Patience time.Duration
	// Client is who waits for the answer; nil if nobody is to be told.
	Client Client
	// Stats count it for its node, besides those of the transport. Nil: nothing does.
	Stats *Stats
	// Repeats is how often Send has sent it once more.
	Repeats int
}

// Client is who a request comes from.
type Client interface {
	// InterruptRead wakes up whoever reads a body that is not needed any more; nobody reads on after it.
	InterruptRead()
	// Hold names what is closed if the client leaves before its answer is complete; nil: nothing any more.
	// False: it has left already.
	Hold(io.Closer) bool
	// Interim passes on an interim answer other than 100 and 101; it is valid during the call.
	Interim(*wire.Answer)
}

// Answer is an answer whose head has come. It must be closed.
type Answer interface {
	// Head is valid until the first Next.
	Head() *wire.Answer
	// Next returns the next octets of the body, valid until the call after it and perhaps none, and
	// io.EOF behind the last. Any other error: the answer was cut short.
	Next() ([]byte, error)
	// Trailers are the lines to pass on behind the body; to be asked for once Next has returned io.EOF.
	Trailers() []byte
	// Ready reports whether Next returns without waiting for the node.
	Ready() bool
	// Uploaded reports whether the node has been sent the whole request.
	Uploaded() bool
	// Close ends the exchange, wherever it stands. It waits for the body's source, unless that was
	// interrupted.
	Close()
}

// Target is where a request goes: a node, and the host:port it is at. A connection to one node is never
// used for another, though that may be at the address now.
type Target struct {
	Node    api.NodeID
	Address string
}

// Config of a Transport.
type Config struct {
	// Dial connects to a node.
	Dial func(context.Context, Target) (net.Conn, error)
	// IdleMax is how many idle connections are kept to each node.
	IdleMax int
	// IdleTimeout closes connections idle for longer. It should be below the nodes' own.
	IdleTimeout time.Duration
}

// Stats count what a Transport did. They only rise.
type Stats struct {
	Connects, ConnectFailures, Reuses, Retries, Discards atomic.Uint64
}

// Transport sends requests over pooled HTTP/1.1 connections. It is safe for concurrent use.
type Transport struct {
	Stats Stats

	config Config
	ctx    context.Context // of all dialling
	cancel context.CancelFunc
	reaper sync.WaitGroup

	mu    sync.RWMutex
	pools map[Target]*pool
}

// New starts a transport.
func New(config Config) *Transport {
	ctx, cancel := context.WithCancel(context.Background())
	t := &Transport{config: config, ctx: ctx, cancel: cancel, pools: make(map[Target]*pool)}
	t.reaper.Go(t.reap)
	return t
}

// Close closes every connection, those in use too.
func (t *Transport) Close() {
	t.cancel()
	t.reaper.Wait()
	for _, p := range t.all() {
		p.close()
	}
}

// Send carries a request to a node and returns when the head of its answer is there. A request
// that a stale connection lost is sent once more, on a fresh one, if it may be. The error is a
// *Failure.
func (t *Transport) Send(to Target, r *Request) (Answer, error) {
	p := t.pool(to)
	for c := p.take(); c != nil; c = p.take() {
		failure := c.exchange(r)
		if failure != nil && failure.Err == errStale {
			t.Stats.Discards.Add(1)
			c.discard()
			continue
		}
		t.count(r, func(s *Stats) { s.Reuses.Add(1) })
		if failure == nil {
			return c, nil
		}
		if !mayRepeat(failure, r.Safe, r.Body == nil || r.Body.Replayable()) {
			return nil, failure
		}
		t.count(r, func(s *Stats) { s.Retries.Add(1) })
		r.Repeats++
		break
	}
	c, err := t.dial(p, r)
	if err != nil {
		return nil, &Failure{Stage: NotConnected, Err: err}
	}
	if failure := c.exchange(r); failure != nil {
		return nil, failure
	}
	return c, nil
}

// count counts for the transport and for the request's node.
func (t *Transport) count(r *Request, add func(*Stats)) {
	add(&t.Stats)
	if r.Stats != nil {
		add(r.Stats)
	}
}

func (t *Transport) dial(p *pool, r *Request) (*connection, error) {
	ctx, cancel := context.WithDeadline(t.ctx, r.Deadline)
	defer cancel()
	socket, err := t.config.Dial(ctx, p.target)
	if err != nil {
		t.count(r, func(s *Stats) { s.ConnectFailures.Add(1) })
		return nil, fmt.Errorf("cannot connect to %s: %w", p.target.Address, err)
	}
	t.count(r, func(s *Stats) { s.Connects.Add(1) })
	_ = socket.SetDeadline(r.Deadline)
	return p.adopt(socket)
}

// pool finds the pool of a node, or makes it.
func (t *Transport) pool(to Target) *pool {
	t.mu.RLock()
	p := t.pools[to]
	t.mu.RUnlock()
	if p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p = t.pools[to]; p == nil {
		p = newPool(to, t.config.IdleMax, &t.Stats)
		t.pools[to] = p
	}
	return p
}

func (t *Transport) all() []*pool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	pools := make([]*pool, 0, len(t.pools))
	for _, p := range t.pools {
		pools = append(pools, p)
	}
	return pools
}

// reap closes connections that have been idle for too long.
func (t *Transport) reap() {
	ticker := time.NewTicker(t.config.IdleTimeout / 2)
	defer ticker.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case now := <-ticker.C:
			for _, p := range t.all() {
				p.expire(now.Add(-t.config.IdleTimeout))
			}
		}
	}
}
