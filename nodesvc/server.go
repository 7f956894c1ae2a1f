package nodesvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/nodesvc/mux"
)

// Limits of a node's HTTP server. Bodies have no deadline here: what is slow and what is a stream
// only the service can tell.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute // proxies close idle connections sooner
	headerSizeMax = 64 << 10        // bytes
)

// Server is an HTTP server that proxies reach by stead-mux too: one connection of theirs carries many requests.
type Server struct {
	*http.Server
	streams *mux.Server
}

// NewServer returns a server with a node's limits on headers and idle connections.
func NewServer(handler http.Handler, logger *slog.Logger) *Server {
	streams := mux.NewServer(handler, logger)
	server := &http.Server{
		Handler:           streams,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerSizeMax,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(streams.GoAway) // once it does not listen any more
	return &Server{server, streams}
}

// Shutdown stops listening, tells proxies and clients to go, and waits until every request under way is
// answered; if the context ends before that, those of proxies are broken off.
func (s *Server) Shutdown(ctx context.Context) error {
	stopped := s.Server.Shutdown(ctx)
	return errors.Join(stopped, s.streams.Drain(ctx))
}

// Close breaks off what is under way.
func (s *Server) Close() error {
	s.streams.Close()
	return s.Server.Close()
}

// CheckListen reports whether a node can listen on an address: it is host:port, and if the node is to
// advertise it for want of another, one that proxies can dial.
func CheckListen(listen, advertise string) error {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return fmt.Errorf("listen address %q is not host:port", listen)
	}
	_, err := transport.Advertised(listen, advertise)
	return err
}
