package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// Sidecar is a node before a service.
type Sidecar struct {
	config    Config
	logger    *slog.Logger
	listener  net.Listener
	adminPort net.Listener
	transport *http.Transport
	checker   *checker
	node      *nodesvc.Node
	command   *command // nil: the service was running already
	tunnels   tunnelCounts
	http      *nodesvc.Server
	admin     *nodesvc.Server // nil, as its listener is, without Config.AdminListen

	stopChecks context.CancelFunc
	running    sync.WaitGroup
	stopping   chan struct{} // closed by Close
	closeOnce  sync.Once
	closeErr   error

	failed   chan struct{}
	failOnce sync.Once
	failure  error // written before failed is closed
}

// Open listens, starts the command if there is one, and makes the process a node as soon as the
// service passes its health check. It returns without waiting for that.
func Open(config Config) (*Sidecar, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open sidecar: %w", err)
	}
	s := &Sidecar{
		config:    config,
		logger:    config.Logger,
		transport: newTransport(),
		stopping:  make(chan struct{}),
		failed:    make(chan struct{}),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.checker = newChecker(config, s.transport, s.logger)
	listener, err := config.Node.Security.Listen(config.Listen)
	if err != nil {
		return nil, err
	}
	s.listener = listener
	if err := s.listenAdmin(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if err := s.open(); err != nil {
		s.closeListeners()
		return nil, err
	}
	checking, stop := context.WithCancel(context.Background())
	s.stopChecks = stop
	s.http = nodesvc.NewServer(s.routes(), s.logger)
	s.running.Go(func() { s.checker.run(checking) })
	s.running.Go(s.serve)
	s.serveAdmin()
	s.running.Go(s.watch)
	return s, nil
}

// open makes the node before it starts the command: if the data folder is another process's, so is
// the service.
func (s *Sidecar) open() error {
	config := s.config.Node
	config.Healthy = s.checker.healthy
	if config.Advertise == "" {
		config.Advertise = s.listener.Addr().String()
	}
	if config.Logger == nil {
		config.Logger = s.logger
	}
	if s.config.Hooks {
		hooks, err := s.openHooks()
		if err != nil {
			return err
		}
		config.Service, config.State = hooks, api.StateHooks
	}
	node, err := nodesvc.Open(config)
	if err != nil {
		return err
	}
	s.node = node
	if len(s.config.Command) == 0 {
		return nil
	}
	s.command, err = startCommand(s.config.Command, s.config.Stdout, s.config.Stderr)
	if err != nil {
		return errors.Join(err, node.Close(context.Background()))
	}
	s.logger.Info("command started", "command", s.config.Command[0], "pid", s.command.process.Pid)
	return nil
}

// routes: the health path goes straight to the service, all else through health and guard. With hooks, what
// nodes say to each other passes neither.
func (s *Sidecar) routes() http.Handler {
	relay := newRelay(s.config.Upstream, s.transport, s.logger)
	guarded, internal := s.node.Guard(s.upgrading(relay, relay)), http.Handler(nil)
	if s.config.Hooks {
		guarded, internal = s.node.Guard(s.upgrading(relay, s.within(relay))), s.node.Internal()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if internal != nil && strings.HasPrefix(r.URL.Path, nodesvc.InternalPrefix) {
			internal.ServeHTTP(w, r) // nodes speak with each other whether the service is well or not
			return
		}
		w = verbatim{w}
		if rawPath(r.RequestURI) == s.config.HealthPath {
			relay.ServeHTTP(w, r)
			return
		}
		if err := s.checker.healthy(r.Context()); err != nil {
			api.NewProblem(api.CodeServiceUnhealthy, "%v", err).WriteTo(w)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// within keeps a request's slot from moving until the service has answered it, and tells the service the slot.
// Requests of one key do not wait for each other: their order is the service's affair.
func (s *Sidecar) within(relay http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, found := nodesvc.RouteOf(r.Context())
		if !found {
			relay.ServeHTTP(w, r)
			return
		}
		begun := false
		err := s.node.Read(r.Context(), route.Key, func() error {
			begun = true
			r.Header.Set(api.HeaderSlot, strconv.Itoa(int(route.Slot)))
			relay.ServeHTTP(w, r)
			return nil
		})
		if err != nil && !begun {
			nodesvc.WriteError(w, r, err)
		}
	})
}

func (s *Sidecar) serve() {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.fail(fmt.Errorf("cannot serve on %s: %w", s.Addr(), err))
	}
}

// watch ends the sidecar when the node is refused or the command ends.
func (s *Sidecar) watch() {
	var ended chan struct{}
	if s.command != nil {
		ended = s.command.ended
	}
	select {
	case <-s.node.Done():
		s.fail(s.node.Err())
	case <-ended:
		s.checker.fail(s.command.exit())
		s.fail(s.command.exit())
	case <-s.stopping:
	}
}

func (s *Sidecar) fail(err error) {
	s.failOnce.Do(func() {
		s.failure = err
		close(s.failed)
	})
}

// Addr is the host:port the sidecar listens on.
func (s *Sidecar) Addr() string { return s.listener.Addr().String() }

// Done is closed when the sidecar has failed for good, which includes that its command ended; Err
// then says why, and the process should end.
func (s *Sidecar) Done() <-chan struct{} { return s.failed }

// Err is why the sidecar failed, nil while it has not.
func (s *Sidecar) Err() error {
	select {
	case <-s.failed:
		return s.failure
	default:
		return nil
	}
}

// Close leaves the ring, finishes the requests inside, then stops the command, within ctx.
func (s *Sidecar) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeErr = s.close(ctx) })
	return s.closeErr
}

func (s *Sidecar) close(ctx context.Context) error {
	close(s.stopping)
	left := s.node.Leave(ctx)
	stopped := s.http.Shutdown(ctx)
	if stopped != nil {
		_ = s.http.Close()
	}
	s.stopChecks()
	if s.admin != nil {
		_ = s.admin.Close() // nothing is lost with an answer about health or metrics
	}
	s.running.Wait()
	if s.command != nil {
		s.command.stop(ctx, s.config.StopTimeout)
	}
	s.transport.CloseIdleConnections()
	return errors.Join(left, stopped, s.node.Close(ctx))
}
