package mux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/frames"
)

// Limits of a node's end.
const (
	// StreamsMax is how many requests of one connection are under way at a time.
	StreamsMax = 512
	// windowSize is how many octets of a request's body are held for a handler that does not read them.
	windowSize = 128 << 10
	// connectionsMax is how many connections are taken over: other proxies are served by HTTP/1.1.
	connectionsMax = 512
	// idleMax is how long a connection without streams is kept.
	idleMax = 2 * time.Minute
	// lingerMax is how long a proxy has, once its last request is answered, to close a connection that ends.
	lingerMax = time.Second
	// upgradeTimeout is for the octets that answer the upgrade.
	upgradeTimeout = 5 * time.Second
)

// Server serves upgraded connections. It is the handler of an HTTP server, and stands before another one.
type Server struct {
	handler http.Handler
	logger  *slog.Logger

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
	empty    chan struct{} // closed when draining has left no connection; nil before
}

// NewServer returns a server that hands requests to a handler, those of its streams and those that came by
// HTTP/1.1.
func NewServer(handler http.Handler, logger *slog.Logger) *Server {
	return &Server{handler: handler, logger: logger, conns: make(map[*conn]struct{})}
}

// ServeHTTP upgrades a connection whose request asks for that, and serves it to its end; any other request is
// the handler's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !asksForUpgrade(r) {
		s.handler.ServeHTTP(w, r)
		return
	}
	c := newConn(s, r)
	if !s.admit(c) {
		api.NewProblem(api.CodeDraining, "no more connections are upgraded").WriteTo(w)
		return
	}
	defer s.forget(c)
	socket, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		api.NewProblem(api.CodeUpgrade, "this connection cannot be upgraded").WriteTo(w)
		return
	}
	before, _ := buffered.Reader.Peek(buffered.Reader.Buffered()) // so many there are
	if err := greet(socket); err != nil {
		s.logger.Debug("proxy left", "address", r.RemoteAddr, "error", err)
		_ = socket.Close()
		return
	}
	err = c.serve(socket, before)
	s.logger.Debug("connection of a proxy ended", "address", r.RemoteAddr, "reason", err)
}

// handle has a request of a stream answered. That for the server as a whole (OPTIONS *) net/http answers itself, and
// so it is here.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
		if server == nil || !server.DisableGeneralOptionsHandler {
			w.Header().Set("Content-Length", "0")
			return
		}
	}
	s.handler.ServeHTTP(w, r)
}

// asksForUpgrade reports whether a proxy asks: what clients send through a proxy has no field of Stead's.
func asksForUpgrade(r *http.Request) bool {
	offered := r.Header["Upgrade"]
	if r.URL.Path != frames.Path || r.Method != http.MethodGet || r.ContentLength != 0 || len(offered) != 1 ||
		!strings.EqualFold(offered[0], frames.Protocol) || r.Header.Get(api.HeaderMux) == "" || r.Header.Get(api.HeaderKey) != "" {
		return false
	}
	for _, value := range r.Header["Connection"] {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(textproto.TrimString(token), "upgrade") {
				return true
			}
		}
	}
	return false
}

// greet answers the upgrade, and says what this side takes.
func greet(socket net.Conn) error {
	const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + frames.Protocol + "\r\n\r\n"
	if err := socket.SetDeadline(time.Now().Add(upgradeTimeout)); err != nil {
		return err
	}
	hello := frames.AppendHello([]byte(answer), frames.Limits{Streams: StreamsMax, Window: windowSize})
	if _, err := socket.Write(hello); err != nil {
		return fmt.Errorf("cannot answer the upgrade: %w", err)
	}
	return socket.SetDeadline(time.Time{})
}

func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || len(s.conns) >= connectionsMax {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.empty != nil && len(s.conns) == 0 {
		close(s.empty)
		s.empty = nil
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

func (s *Server) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// GoAway tells proxies to open no more streams. It should follow the end of the listener: what a proxy sends
// elsewhere then does not come here again.
func (s *Server) GoAway() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, c := range s.all() {
		c.goAway()
	}
}

// Drain is GoAway, and waits until the streams that are open are answered; if the context ends before that, their
// handlers' contexts do too.
func (s *Server) Drain(ctx context.Context) error {
	s.GoAway()
	s.mu.Lock()
	empty := s.empty
	if empty == nil {
		empty = make(chan struct{})
		if s.empty = empty; len(s.conns) == 0 {
			close(empty)
			s.empty = nil
		}
	}
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		s.Close()
		return fmt.Errorf("cannot finish the requests of proxies: %w", context.Cause(ctx))
	}
}

var errEnded = errors.New("the server ends")

// Close breaks every connection off. Handlers are told, and not waited for.
func (s *Server) Close() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, c := range s.all() {
		c.hangUp(errEnded)
	}
}
