package inbound

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/dataplane/socket"
)

// Handler answers requests. Each method writes its answer with Conn.Send.
type Handler interface {
	// Serve answers a request.
	Serve(*Conn)
	// Admit is asked, for a client that waits for 100 (Continue), whether it should send its body;
	// false if the request was answered instead.
	Admit(*Conn) bool
	// Refuse answers octets that are no request; Conn.Fault says why.
	Refuse(*Conn)
}

// Config of a Server. Every field that does not say what its zero value means must be set.
type Config struct {
	// HeadMax bounds request line and header fields, in octets. A connection holds as much while it has a
	// request, and in TLS all the time.
	HeadMax int
	// BodyMax bounds what a request may announce; one that announces more is refused by its head.
	BodyMax int64
	// HeadTimeout is for a head, from its first octet to its last.
	HeadTimeout time.Duration
	// IdleTimeout is for the first octet of a request.
	IdleTimeout time.Duration
	// StreamTimeout is how long a body may stand still, in either direction.
	StreamTimeout time.Duration
	// RateMin is the mean rate, in octets a second, that a body must come at when it has been waited for longer
	// than twice the StreamTimeout; 0: any that moves.
	RateMin int
	// Connections is how many are served at a time; those beyond it are answered 503, in TLS not, and closed.
	// Of requests in HTTP/2 each on a connection counts, but for the first.
	Connections int
	// ConnectionsPerAddress is how many of them may be from one IPv4 address, or one /64 of IPv6; 0: all.
	ConnectionsPerAddress int
	// MayTrail reports whether a field may stand behind a request's body, besides what HTTP demands; nil: all.
	MayTrail func(name []byte) bool
	Handler  Handler
	Logger   *slog.Logger
}

// idleGrace is how long clients with idle connections have, when the server drains, to send one
// more request: its answer tells them to leave.
const idleGrace = 250 * time.Millisecond

// yieldGrace is as much when another process serves already: nothing waits for these clients to be gone, and the
// longer they have, the fewer send a request just as their connection closes.
const yieldGrace = 5 * time.Second

// Server serves one listener.
type Server struct {
	// TurnedAway counts connections over the limit of Connections.
	TurnedAway atomic.Uint64
	// HandshakesFailed counts clients that came to no agreement on TLS.
	HandshakesFailed atomic.Uint64

	config   Config
	changed  atomic.Pointer[Config] // since it was reloaded; see settings
	listener net.Listener
	buffers  *socket.Buffers // of heads, and of bodies in chunks
	serving  sync.WaitGroup  // the goroutine that accepts
	clients  sync.WaitGroup  // those that serve a connection each
	draining atomic.Bool
	grace    time.Duration // for clients with idle connections, while it drains
	stopping chan struct{} // closed when nobody is accepted any more
	watch    watch

	mu          sync.Mutex
	conns       map[*Conn]struct{}
	addresses   map[netip.Addr]int // connections from each, if they are counted
	empty       chan struct{}      // closed when draining has left no connection; nil before
	multiplexed multiplexed
}

// Serve starts to serve a listener, until Drain.
func Serve(listener net.Listener, config Config) *Server {
	s := &Server{
		config: config, listener: listener, buffers: socket.NewBuffers(config.HeadMax + bodyRoom),
		stopping: make(chan struct{}), conns: make(map[*Conn]struct{}), addresses: make(map[netip.Addr]int),
	}
	s.watch.start(s)
	s.serving.Go(s.accept)
	return s
}

// settings are those in force.
func (s *Server) settings() *Config {
	if changed := s.changed.Load(); changed != nil {
		return changed
	}
	return &s.config
}

// idleTimeout is how long a client may be silent between requests. One whose answer had begun when the server
// began to drain was not told to leave: it has the grace, too, counted from the end of that.
func (s *Server) idleTimeout() time.Duration {
	timeout := s.settings().IdleTimeout
	if s.draining.Load() {
		return min(s.grace, timeout)
	}
	return timeout
}

// Reload puts limits in force: all that Config has, but for HeadMax, MayTrail, Handler and Logger. Connections that
// are there stay, however many they are; those that came while nobody counted them by address are not counted.
func (s *Server) Reload(config Config) { s.changed.Store(&config) }

// Drain takes in who is at the door and stops listening, tells each client with its next answer to leave, and
// waits for all to go; when the context ends it closes the connections that are left.
func (s *Server) Drain(ctx context.Context) error {
	withdraw(ctx, s.listener)
	return s.finish(ctx, idleGrace)
}

// Yield is Drain where another process listens on the same socket: who is at the door is that one's.
func (s *Server) Yield(ctx context.Context) error { return s.finish(ctx, yieldGrace) }

func (s *Server) finish(ctx context.Context, idle time.Duration) error {
	close(s.stopping)
	err := s.listener.Close()
	s.serving.Wait()
	s.grace = idle
	s.draining.Store(true)
	s.drainStreams()
	defer s.watch.close()
	empty := s.emptied()
	grace := time.NewTimer(idle)
	defer grace.Stop()
	for {
		select {
		case <-empty:
			s.clients.Wait()
			return err
		case <-grace.C:
			// One in HTTP/2 was told to leave. It ends by itself, and not before its client has all that was sent: octets of that
			// client which nobody reads any more would take what is on its way along.
			s.closeConns(func(c *Conn) bool { return !c.active.Load() && !c.asked })
		case <-ctx.Done():
			s.closeConns(func(*Conn) bool { return true })
			<-empty
			s.clients.Wait()
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// serve reads and answers one message after another, until either side ends the connection.
func (s *Server) serve(c *Conn) {
	defer s.forget(c)
	defer c.close()
	if secured, ok := c.secured(); ok {
		if !s.shake(c, secured) {
			return
		}
		if speaksH2(secured) {
			s.serveStreams(c, secured)
			return
		}
	}
	for {
		if c.next() != nil {
			s.refuse(c)
			return
		}
		if !s.answer(c) {
			return
		}
	}
}

// answer has a message answered; false if nothing follows on the connection. A body that the client holds back is
// asked for only if it is of use.
func (s *Server) answer(c *Conn) bool {
	if c.waiting {
		admitted := false
		s.guard(c, func() { admitted = s.config.Handler.Admit(c) })
		if !admitted {
			return c.finish()
		}
	}
	s.guard(c, func() { s.config.Handler.Serve(c) })
	return c.finish()
}

// refuse stands where there was no request. A connection that ended between requests needs no answer.
func (s *Server) refuse(c *Conn) {
	if c.fault == nil {
		return
	}
	c.CloseAfter()
	s.guard(c, func() { s.config.Handler.Refuse(c) })
	c.finish()
}

// guard keeps a fault in one request from ending the process.
func (s *Server) guard(conn *Conn, serve func()) {
	defer func() {
		if fault := recover(); fault != nil {
			s.config.Logger.Error("request handler panicked", "panic", fault)
			conn.Abort()
		}
	}()
	serve()
}

func (s *Server) forget(conn *Conn) {
	s.watch.hangups.remove(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.conns[conn]; !known {
		return
	}
	delete(s.conns, conn)
	s.release(conn.address)
	if s.empty != nil && len(s.conns) == 0 {
		close(s.empty)
	}
}

// emptied is closed when no connection is left; none may be accepted any more.
func (s *Server) emptied() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty = make(chan struct{})
	if len(s.conns) == 0 {
		close(s.empty)
	}
	return s.empty
}

// Clients is how many connections there are.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) closeConns(which func(*Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		if which(conn) {
			_ = conn.Conn.Close()
		}
	}
}
