package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/stead-io/stead/nodesvc"
)

// bodyTimeout bounds how long one request's body, and its answer's, may take on the way.
const bodyTimeout = 5 * time.Minute

// Server is a node of the key-value store.
type Server struct {
	logger   *slog.Logger
	listener net.Listener
	node     *nodesvc.Node
	store    *store
	versions *versions
	uploads  *uploads
	metrics  *metrics
	http     *nodesvc.Server

	running   sync.WaitGroup
	stopping  chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error

	failure *failure
}

// Open listens, opens the store and makes the process a node. It returns without waiting for the
// control plane, which may be away.
func Open(config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open key-value node: %w", err)
	}
	s := &Server{
		logger:   config.Logger,
		versions: newVersions(),
		uploads:  newUploads(),
		stopping: make(chan struct{}),
		failure:  newFailure(),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	listener, err := config.Node.Security.Listen(config.Listen)
	if err != nil {
		return nil, err
	}
	s.listener = listener
	if err := s.open(config); err != nil {
		_ = listener.Close()
		return nil, err
	}
	s.metrics = newMetrics(s.node, config.Node.Security.TLS)
	s.http = nodesvc.NewServer(s.metrics.observe(s.routes()), s.logger)
	s.http.ReadTimeout, s.http.WriteTimeout = bodyTimeout, bodyTimeout
	s.running.Go(s.serve)
	s.running.Go(s.watch)
	return s, nil
}

// open opens the store, then makes the process a node with the store as its service.
func (s *Server) open(config Config) (err error) {
	if s.store, err = openStore(config, s.logger); err != nil {
		return err
	}
	node := config.Node
	node.Service, node.Healthy = s.store, s.store.Probe
	if node.Advertise == "" {
		node.Advertise = s.listener.Addr().String()
	}
	if node.Logger == nil {
		node.Logger = s.logger
	}
	if config.Store == StoreMemory {
		node.DataDir = ""
	}
	if s.node, err = nodesvc.Open(node); err != nil {
		return errors.Join(err, s.store.Close())
	}
	return nil
}

func (s *Server) serve() {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.failure.set(fmt.Errorf("cannot serve on %s: %w", s.Addr(), err))
	}
}

// watch ends the server when one of its parts fails for good.
func (s *Server) watch() {
	select {
	case <-s.node.Done():
		s.failure.set(s.node.Err())
	case <-s.store.Failed():
		s.failure.set(s.store.Err())
	case <-s.stopping:
	}
}

// Addr is the host:port the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Done is closed when the server has failed for good; Err then says why, and the process should end.
func (s *Server) Done() <-chan struct{} { return s.failure.Failed() }

// Err is why the server failed, nil while it has not.
func (s *Server) Err() error { return s.failure.Err() }

// Close leaves the ring, finishes the requests inside and closes the store, within ctx. If requests
// remain by then, the store is left to be recovered by the next start: it loses nothing by that.
func (s *Server) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeErr = s.close(ctx) })
	return s.closeErr
}

func (s *Server) close(ctx context.Context) error {
	close(s.stopping)
	left := s.node.Leave(ctx)
	stopped := s.http.Shutdown(ctx)
	if stopped != nil {
		_ = s.http.Close()
	}
	s.running.Wait()
	ended := s.node.Close(ctx) // it uses the store until then
	if stopped != nil || ended != nil {
		return errors.Join(left, stopped, ended)
	}
	return errors.Join(left, s.store.Close())
}
