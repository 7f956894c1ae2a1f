package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Handler answers requests. Each method writes its answer with Conn.Send.
type Handler interface {
	// Serve answers a request.
	Serve(*Conn)
	// Admit is asked, for a client that waits for 100 (Continue), whether it should send its body;
	// false if the request was answered instead.
	Admit(*Conn) bool
	// Refuse answers octets that are no request; Conn.Fault says why, unless fasthttp found it.
	Refuse(*Conn, error)
}

// Config of a Server. Every field must be set.
type Config struct {
	// HeadMax bounds request line and header fields, in octets; each connection holds as much.
	HeadMax int
	// BodyMax bounds what a request may announce; one that announces more is refused by its head.
	BodyMax int64
	// HeadTimeout is for a head, from its first octet to its last.
	HeadTimeout time.Duration
	// IdleTimeout is for the first octet of a request.
	IdleTimeout time.Duration
	// StreamTimeout is how long a body may stand still, in either direction.
	StreamTimeout time.Duration
	// Connections is how many are served at a time; those beyond it are answered 503 and closed.
	Connections int
	Handler     Handler
	Logger      *slog.Logger
}

// idleGrace is how long clients with idle connections have, when the server drains, to send one
// more request: its answer tells them to leave.
const idleGrace = 250 * time.Millisecond

// workerIdle is how long fasthttp keeps a goroutine without a connection.
const workerIdle = 10 * time.Second

// Server serves one listener.
type Server struct {
	config   Config
	listener net.Listener
	fasthttp *fasthttp.Server
	serving  sync.WaitGroup
	draining atomic.Bool
	stopping chan struct{} // closed when nobody is accepted any more

	mu    sync.Mutex
	conns map[*Conn]struct{}
	empty chan struct{} // closed when draining has left no connection; nil before
}

// Serve starts to serve a listener, until Drain.
func Serve(listener net.Listener, config Config) *Server {
	s := &Server{config: config, listener: listener, stopping: make(chan struct{}), conns: make(map[*Conn]struct{})}
	s.fasthttp = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.refuse,
		ExpectHandler:                s.admit,
		Concurrency:                  config.Connections,
		ReadBufferSize:               config.HeadMax,
		WriteBufferSize:              64, // Conn drops what is written there
		MaxIdleWorkerDuration:        workerIdle,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultDate:                true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		Logger:                       fasthttpLog{config.Logger},
	}
	s.serving.Go(func() { _ = s.fasthttp.Serve(registrar{listener, s}) })
	return s
}

// Drain takes in who is at the door and stops listening, tells each client with its next answer to leave, and
// waits for all to go; when the context ends it closes the connections that are left.
func (s *Server) Drain(ctx context.Context) error {
	withdraw(ctx, s.listener)
	close(s.stopping)
	err := s.listener.Close()
	s.serving.Wait()
	s.draining.Store(true)
	empty := s.emptied()
	grace := time.NewTimer(idleGrace)
	defer grace.Stop()
	for {
		select {
		case <-empty:
			return err
		case <-grace.C:
			s.closeConns(func(c *Conn) bool { return !c.active.Load() })
		case <-ctx.Done():
			s.closeConns(func(*Conn) bool { return true })
			<-empty
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	conn := ctx.Conn().(*Conn)
	conn.body = ctx.RequestBodyStream()
	s.guard(conn, func() { s.config.Handler.Serve(conn) })
	if !conn.finish() {
		ctx.SetConnectionClose()
	}
}

// admit stands before a body that the client holds back.
func (s *Server) admit(ctx *fasthttp.RequestCtx) int {
	conn := ctx.Conn().(*Conn)
	admitted := false
	s.guard(conn, func() { admitted = s.config.Handler.Admit(conn) })
	if admitted {
		return fasthttp.StatusContinue
	}
	conn.finish()
	return fasthttp.StatusExpectationFailed
}

// refuse stands where fasthttp found no request. A connection that ended between requests needs
// no answer.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) {
	conn := ctx.Conn().(*Conn)
	if conn.fault == nil && !conn.within {
		return
	}
	conn.CloseAfter()
	s.guard(conn, func() { s.config.Handler.Refuse(conn, err) })
	conn.finish()
}

// guard keeps a fault in one request from ending the process: fasthttp recovers nothing.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.conns[conn]; !known {
		return
	}
	delete(s.conns, conn)
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

func (s *Server) closeConns(which func(*Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		if which(conn) {
			_ = conn.Conn.Close()
		}
	}
}

// fasthttpLog passes fasthttp's own words on at debug: they are about single connections.
type fasthttpLog struct{ logger *slog.Logger }

func (l fasthttpLog) Printf(format string, args ...any) {
	l.logger.Debug("client connection failed", "reason", fmt.Sprintf(format, args...))
}
