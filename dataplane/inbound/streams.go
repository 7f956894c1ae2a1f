package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/h2"
)

// multiplexed is what a server knows of clients that have several requests under way on one connection.
type multiplexed struct {
	hosts    []*host   // the last is for the configuration in force; those before it have connections from before it was
	config   h2.Config // of the last
	further  int       // requests under way on such connections, but for the first on each
	draining bool
}

// host serves the connections that began under one configuration.
type host struct {
	*h2.Host
	connections int // guarded by the server's lock
}

// HTTP2 reports whether the request came in HTTP/2. To whoever answers it it looks like one of HTTP/1.1.
func (c *Conn) HTTP2() bool { return c.stream }

// speaksH2 reports whether the client and this server have agreed on HTTP/2.
func speaksH2(secured *tls.Conn) bool {
	return secured.ConnectionState().NegotiatedProtocol == transport.ProtocolH2
}

// serveStreams serves a connection in HTTP/2 to its end.
func (s *Server) serveStreams(c *Conn, secured *tls.Conn) {
	host, err := s.joinHost()
	if err != nil {
		s.config.Logger.Warn("cannot serve a client", "error", err)
		return
	}
	defer s.leaveHost(host)
	if c.fault != nil { // it is told so in each answer, for a moment
		_ = secured.SetReadDeadline(time.Now().Add(lingerTime))
	}
	host.Serve(secured, func(stream *h2.Stream) { s.serveStream(c, stream) })
	s.endStreams(c)
}

// endStreams waits until all requests of a connection that has ended are given up: they count, and whoever waits for the
// clients waits for them.
func (s *Server) endStreams(on *Conn) {
	s.mu.Lock()
	on.over = make(chan struct{})
	if on.streams == 0 {
		close(on.over)
	}
	s.mu.Unlock()
	<-on.over
}

// joinHost counts a connection for the host of the settings in force. It is to leave it again.
func (s *Server) joinHost() (*host, error) {
	settings := s.settings()
	config := h2.Config{
		HeadMax: s.config.HeadMax, IdleTimeout: settings.IdleTimeout, StreamTimeout: settings.StreamTimeout, Logger: s.config.Logger,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.multiplexed
	if len(m.hosts) == 0 || m.config != config {
		next, err := h2.New(config)
		if err != nil {
			return nil, err
		}
		m.hosts, m.config = append(m.hosts, &host{Host: next}), config
		m.dropIdle()
		if m.draining {
			next.Drain()
		}
	}
	current := m.hosts[len(m.hosts)-1]
	current.connections++
	return current, nil
}

func (s *Server) leaveHost(h *host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.connections--
	s.multiplexed.dropIdle()
}

// dropIdle forgets the hosts of earlier configurations that have no connection left.
func (m *multiplexed) dropIdle() {
	current := m.hosts[len(m.hosts)-1]
	m.hosts = slices.DeleteFunc(m.hosts, func(h *host) bool { return h != current && h.connections == 0 })
}

// drainStreams tells all clients in HTTP/2 to leave.
func (s *Server) drainStreams() {
	s.mu.Lock()
	hosts := slices.Clone(s.multiplexed.hosts)
	s.multiplexed.draining = true
	s.mu.Unlock()
	for _, host := range hosts {
		host.Drain()
	}
}

// serveStream answers one request of a connection.
func (s *Server) serveStream(on *Conn, stream *h2.Stream) {
	c := &Conn{Conn: stream, server: s, stream: true, closing: true}
	defer c.close()
	if c.fault = s.enter(on); c.fault == errOver {
		return
	}
	defer s.leave(on)
	if c.fault == nil {
		c.fault = stream.Fault()
	}
	stop := context.AfterFunc(stream.Context(), c.abandon)
	defer stop()
	if c.next() != nil {
		s.refuse(c)
		return
	}
	s.answer(c)
}

// errOver: the connection has ended before the request was looked at; it does not count.
var errOver = errors.New("the connection is over")

// enter counts a request; the error is why it is not served.
func (s *Server) enter(on *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on.over != nil {
		return errOver
	}
	on.asked = true
	on.streams++
	on.active.Store(true)
	if on.streams > 1 {
		s.multiplexed.further++
	}
	switch {
	case on.fault != nil:
		return on.fault
	case on.streams > 1 && len(s.conns)+s.multiplexed.further > s.settings().Connections:
		return ErrCrowded
	}
	return nil
}

func (s *Server) leave(on *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on.streams > 1 {
		s.multiplexed.further--
	}
	on.streams--
	on.active.Store(on.streams > 0)
	if on.streams == 0 && on.over != nil {
		close(on.over)
	}
}
