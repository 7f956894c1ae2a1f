package dataplane

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stead-io/stead/dataplane/inbound"
	"github.com/stead-io/stead/dataplane/routing"
)

// observe registers what is counted, or known, elsewhere.
func (m *metrics) observe(p *Proxy) {
	m.observeUpstream(p)
	m.observeMux(p)
	m.observeConfiguration(p)
	m.observeCertificates(p)
	m.observeRing(p.routes)
	m.counter("stead_proxy_unnamed_connections_total", "Connections from trusted proxies closed because they began with no PROXY header in time.", &p.unnamed)
	m.counter("stead_proxy_access_log_dropped_total", "Lines of the access log that were lost: writing did not keep up, or failed.", p.access.Dropped())
	m.counter("stead_proxy_trace_spans_exported_total", "Spans that the collector took.", p.tracer.Exported())
	m.counter("stead_proxy_trace_spans_dropped_total", "Spans that were lost: too many waited to be sent, or the collector did not take them.", p.tracer.Dropped())
	m.counter("stead_proxy_tunnels_total", "Connections that changed to another protocol, such as WebSockets.", &p.tunnels.total)
	m.counter("stead_proxy_tunnels_moved_total", "Connections of another protocol that were closed because their slot moved.", &p.tunnels.moved)
	m.gauge("stead_proxy_tunnels", "Connections that carry another protocol now.", p.tunnels.count)
	m.gauge("stead_proxy_bodies_held_bytes", "Octets of long bodies held so that they can be sent again.", func() float64 { return float64(p.bodies.Taken()) })
	m.gauge("stead_proxy_requests_in_flight", "Requests under way.", func() float64 { return float64(m.inFlight.Load()) })
}

func (m *metrics) counter(name, help string, values ...*atomic.Uint64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() (sum float64) {
		for _, value := range values {
			sum += float64(value.Load())
		}
		return sum
	}))
}

func (m *metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// oneIf is how a gauge says yes.
func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *metrics) observeUpstream(p *Proxy) {
	stats := &p.nodes.Stats
	m.counter("stead_proxy_upstream_connects_total", "Connections made to nodes.", &stats.Connects)
	m.counter("stead_proxy_upstream_connect_failures_total", "Connections to nodes that could not be made.", &stats.ConnectFailures)
	m.counter("stead_proxy_upstream_reuses_total", "Requests sent on a connection used before.", &stats.Reuses)
	m.counter("stead_proxy_upstream_discards_total", "Idle connections found closed, or with something unasked on them.", &stats.Discards)
	m.counter("stead_proxy_upstream_retries_total", "Requests sent again, on a fresh connection or to another node.", &stats.Retries, &m.retries)
	m.counter("stead_proxy_upstream_moved_total", "Answers of nodes that do not hold the slot (421).", &m.moved)
	m.counter("stead_proxy_upstream_given_up_requests_total", "Requests refused at once because their node takes no connections.", &m.givenUp)
	m.gauge("stead_proxy_upstream_given_up_nodes", "Nodes that take no connections, and are tried by one request at a time.", func() float64 {
		return float64(len(p.circuits.givenUp()))
	})
}

func (m *metrics) observeMux(p *Proxy) {
	if p.muxed == nil {
		return
	}
	stats := &p.muxed.Stats
	m.counter("stead_proxy_mux_requests_total", "Requests sent to nodes on shared connections.", &stats.Requests)
	m.counter("stead_proxy_mux_repeats_total", "Requests that a shared connection lost or a node refused, sent again by HTTP/1.1.", &stats.Repeats)
	m.counter("stead_proxy_mux_connects_total", "Shared connections made to nodes.", &stats.Connects)
	m.counter("stead_proxy_mux_declines_total", "Offers of a shared connection that a node answered in HTTP/1.1.", &stats.Declines)
	m.counter("stead_proxy_mux_failures_total", "Offers of a shared connection that got no answer.", &stats.Failures)
	m.gauge("stead_proxy_mux_connections", "Shared connections to nodes now.", func() float64 { return float64(stats.Open.Load()) })
}

func (m *metrics) observeConfiguration(p *Proxy) {
	m.gauge("stead_proxy_config_loaded_timestamp_seconds", "When the configuration in force was loaded.", func() float64 {
		return float64(p.configured.show().Loaded.Unix())
	})
	m.gauge("stead_proxy_config_reload_refused", "1 while the configuration that was read last is refused, and the one before in force.", func() float64 {
		return oneIf(p.configured.show().Refused != "")
	})
}

func (m *metrics) observeCertificates(p *Proxy) {
	if certificate := p.config.Security.TLS; certificate != nil {
		m.gauge("stead_certificate_expires_timestamp_seconds", "When this process's certificate ends to be valid.", func() float64 {
			return float64(certificate.Expires().Unix())
		})
	}
	if certificate := p.config.SecurityClients.Certificate; certificate != nil {
		m.gauge("stead_proxy_client_certificate_expires_timestamp_seconds", "When the certificate that clients are shown ends to be valid.", func() float64 {
			return float64(certificate.Expires().Unix())
		})
	}
}

func (m *metrics) observeRing(routes *routing.Follower) {
	of := func(value func(*routing.Table) float64) func() float64 {
		return func() float64 {
			if table := routes.Table(); table != nil {
				return value(table)
			}
			return 0
		}
	}
	m.gauge("stead_proxy_ring_version", "Number of the ring in force; 0 before the first.", of(func(table *routing.Table) float64 {
		return float64(table.View.Table.Version.Number)
	}))
	m.gauge("stead_proxy_ring_generation", "Generation of the ring in force; 0 before the first.", of(func(table *routing.Table) float64 {
		return float64(table.View.Table.Version.Generation)
	}))
	m.gauge("stead_proxy_ring_age_seconds", "Time since the ring in force was taken up.", of(func(table *routing.Table) float64 {
		return time.Since(table.Since).Seconds()
	}))
	m.gauge("stead_proxy_ring_refused", "1 while the newest ring offered is refused, for its key rules for one.", func() float64 {
		return oneIf(routes.Nack() != "")
	})
}

// observeClients registers what a server counts, once it serves.
func (m *metrics) observeClients(server *inbound.Server, encrypted bool) {
	m.gauge("stead_proxy_connections", "Connections of clients now, idle ones and tunnels too.", func() float64 { return float64(server.Clients()) })
	m.counter("stead_proxy_connections_turned_away_total", "Connections of clients closed because as many were served as may be.", &server.TurnedAway)
	if encrypted {
		m.counter("stead_proxy_tls_handshakes_failed_total", "Clients that came to no agreement on TLS, or did not speak it.", &server.HandshakesFailed)
	}
}
