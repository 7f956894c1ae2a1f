package sidecar

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
	"github.com/stead-io/stead/nodesvc/collector"
)

// listenAdmin opens the admin port, if one is asked for.
func (s *Sidecar) listenAdmin() (err error) {
	if s.config.AdminListen != "" {
		s.adminPort, err = s.config.Node.Security.Listen(s.config.AdminListen)
	}
	return err
}

func (s *Sidecar) closeListeners() {
	_ = s.listener.Close()
	if s.adminPort != nil {
		_ = s.adminPort.Close()
	}
}

// serveAdmin serves health and metrics of the sidecar itself.
func (s *Sidecar) serveAdmin() {
	if s.adminPort == nil {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		api.NewProblem(api.CodeNotFound, "%s %s is not served here", r.Method, api.Clip(r.URL.Path)).WriteTo(w)
	})
	s.admin = nodesvc.NewServer(mux, s.logger)
	s.running.Go(func() {
		if err := s.admin.Serve(s.adminPort); !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("cannot serve the admin port: %w", err))
		}
	})
}

// registry holds the node's metrics and the sidecar's own.
func (s *Sidecar) registry() *prometheus.Registry {
	registry := collector.Registry(s.node)
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stead_sidecar_tunnels", Help: "Connections that carry another protocol now.",
		}, func() float64 { return float64(s.tunnels.open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "stead_sidecar_tunnels_total", Help: "Connections that changed to another protocol, such as WebSockets.",
		}, func() float64 { return float64(s.tunnels.total.Load()) }),
	)
	return registry
}

// readyz answers whether the service is well and the node in the ring.
func (s *Sidecar) readyz(w http.ResponseWriter, r *http.Request) {
	if err := s.checker.healthy(r.Context()); err != nil {
		api.NewProblem(api.CodeServiceUnhealthy, "%v", err).WriteTo(w)
		return
	}
	if problem := s.node.Ready(); problem != nil {
		problem.WriteTo(w)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

// AdminAddr is the host:port of the admin port, "" if there is none.
func (s *Sidecar) AdminAddr() string {
	if s.adminPort == nil {
		return ""
	}
	return s.adminPort.Addr().String()
}
