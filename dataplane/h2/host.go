package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds on what a client may have under way on one connection.
const (
	// streamsMax is how many requests; a client that resets them faster than they end is sent away by net/http when
	// five times as many wait.
	streamsMax = 100
	// windowStream and windowConnection are how many octets of bodies, of one request and of all together, come before
	// somebody has read them.
	windowStream     = 256 << 10
	windowConnection = 1 << 20
	// headSlack is how much longer a head may be in HTTP/2's way of counting, which adds 32 octets a field, than in
	// that of HTTP/1.1, by which it is refused with a reason.
	headSlack = 2
)

// protocol is HTTP/2's name where a handshake agrees on a protocol (ALPN).
const protocol = "h2"

// Config of a Host. Every field must be set.
type Config struct {
	// HeadMax bounds the head of a request, in octets of HTTP/1.1.
	HeadMax int
	// IdleTimeout is how long a connection may be without a request.
	IdleTimeout time.Duration
	// StreamTimeout is how long a client may take nothing of what a connection has for it.
	StreamTimeout time.Duration
	Logger        *slog.Logger
}

// Host serves connections on which client and server have agreed on HTTP/2.
type Host struct {
	server *http.Server
	take   func(*http.Server, *tls.Conn, http.Handler)
}

// New makes a host.
func New(config Config) (*Host, error) {
	server := &http.Server{
		MaxHeaderBytes: headSlack * config.HeadMax, IdleTimeout: config.IdleTimeout,
		ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsMax, MaxReceiveBufferPerStream: windowStream, MaxReceiveBufferPerConnection: windowConnection,
			WriteByteTimeout: config.StreamTimeout,
		},
	}
	_ = server.Serve(nowhere{}) // it learns HTTP/2 when it is to serve
	take := server.TLSNextProto[protocol]
	if take == nil {
		return nil, errors.New("cannot serve HTTP/2: it is switched off by GODEBUG")
	}
	return &Host{server: server, take: take}, nil
}

// Serve serves a connection to its end. It calls serve for each request, at most streamsMax at a time, each in a
// goroutine of its own; a stream is over when serve returns.
func (h *Host) Serve(conn *tls.Conn, serve func(*Stream)) {
	h.take(h.server, conn, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := newStream(conn, w, r)
		defer stream.end()
		serve(stream)
	}))
}

// Drain tells the clients of all connections to ask for nothing more there (GOAWAY). What they have asked for goes
// on; a connection ends behind the last of it.
func (h *Host) Drain() { _ = h.server.Shutdown(context.Background()) }

// nowhere is a listener that nobody comes to.
type nowhere struct{}

func (nowhere) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (nowhere) Close() error              { return nil }
func (nowhere) Addr() net.Addr            { return &net.TCPAddr{} }
