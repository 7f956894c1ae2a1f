package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// serversEvery is how often the list of nameservers is looked at; the roster tells by itself.
	serversEvery = time.Second
	// portTries is how many ports are tried for one that is free for UDP and TCP.
	portTries = 20
	// errorPause is how long a socket rests after an error: one that stays must not spin.
	errorPause = 10 * time.Millisecond
)

// Server answers DNS on one address, over UDP and TCP.
type Server struct {
	config  Config
	logger  *slog.Logger
	zone    atomic.Pointer[zone]
	metrics *metrics

	udp *net.UDPConn
	tcp net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool // TCP connections; nil once they are no longer taken
}

// Listen opens the sockets; Run answers.
func Listen(config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot serve DNS: %w", err)
	}
	s := &Server{config: config, logger: config.Logger, conns: make(map[net.Conn]bool)}
	s.metrics = newMetrics(s)
	s.zone.Store(newZone(config.Settings, nil, nil))
	if err := s.listen(); err != nil {
		return nil, fmt.Errorf("cannot serve DNS: %w", err)
	}
	return s, nil
}

// listen binds both sockets to one port: which port is free for both can only be tried.
func (s *Server) listen() (err error) {
	_, port, _ := net.SplitHostPort(s.config.Listen)
	for range portTries {
		if s.tcp, err = s.config.Security.Listen(s.config.Listen); err != nil {
			return err
		}
		if s.udp, err = s.config.Security.ListenPacket(s.tcp.Addr().String()); err == nil {
			tellSource(s.udp)
			return nil
		}
		_ = s.tcp.Close()
		if port != "0" {
			return err
		}
	}
	return err
}

// Addr is the host:port of both sockets.
func (s *Server) Addr() string { return s.tcp.Addr().String() }

// Run answers until ctx ends, and returns when nothing of it runs any more.
func (s *Server) Run(ctx context.Context) {
	var all sync.WaitGroup
	for range udpReaders {
		all.Go(func() { s.serveUDP(ctx) })
	}
	all.Go(func() { s.serveTCP(ctx) })
	all.Go(func() { s.follow(ctx) })
	s.logger.Info("answering DNS", "address", s.Addr(), "zone", canonical(s.config.Zone), "mode", s.config.Mode)
	<-ctx.Done()
	s.Close()
	all.Wait()
}

// Close ends the sockets and every connection; of a server that runs, Run does it.
func (s *Server) Close() {
	_ = s.udp.Close() // either may be closed already
	_ = s.tcp.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
}

// follow makes a zone of every roster.
func (s *Server) follow(ctx context.Context) {
	look := time.NewTicker(serversEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		changed := s.config.Source.RosterChanged()
		servers := s.config.Source.Nameservers()
		s.publish(newZone(s.config.Settings, s.config.Source.Roster(), servers))
		s.awaitNews(ctx, changed, look.C, servers)
	}
}

// awaitNews returns when a zone made now would be another, or ctx has ended.
func (s *Server) awaitNews(ctx context.Context, changed <-chan struct{}, look <-chan time.Time, servers []Nameserver) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			return
		case <-look:
			if !slices.Equal(servers, s.config.Source.Nameservers()) {
				return
			}
		}
	}
}

func (s *Server) publish(next *zone) {
	if last := s.zone.Swap(next); last.failOpen != next.failOpen {
		if next.failOpen {
			s.logger.Warn("fewer than half of the proxies beat; DNS answers all of them")
		} else {
			s.logger.Info("DNS answers the proxies that beat")
		}
	}
}

// closed reports whether an error of a socket is its end.
func closed(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, net.ErrClosed)
}

// afterError lets a socket rest.
func (s *Server) afterError(ctx context.Context, err error) {
	s.logger.Debug("a DNS socket failed", "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(errorPause):
	}
}
