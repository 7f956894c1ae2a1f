package dataplane

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stead-io/stead/api"
)

// metrics counts requests. What a request touches was looked up beforehand.
type metrics struct {
	registry *prometheus.Registry
	relayed  [6]prometheus.Counter // answers of nodes, by the first digit of their status
	problems map[api.Code]prometheus.Counter
	seconds  prometheus.Histogram
	inFlight atomic.Int64
	moved    atomic.Uint64 // 421 answers of nodes
	retries  atomic.Uint64 // requests sent again after a failed dial or a 421
}

// proxyProblems are the codes a proxy answers with.
var proxyProblems = []api.Code{
	api.CodeNoKey, api.CodeBadKey, api.CodeBadRequest, api.CodeHeaderTooLarge, api.CodeTooLarge, api.CodeUpgrade, api.CodeConnect,
	api.CodeNoRing, api.CodeSlotUnassigned, api.CodeSlotMoving, api.CodeOwnerDown, api.CodeOwnerFailed, api.CodeOwnerTimeout,
	api.CodeDraining,
}

func newMetrics(p *Proxy) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), problems: make(map[api.Code]prometheus.Counter)}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stead_proxy_requests_total",
		Help: "Requests answered, by class of status and, for the proxy's own answers, problem code.",
	}, []string{"code", "problem"})
	classes := [6]string{0: "other", 1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
	for i, class := range classes {
		m.relayed[i] = requests.WithLabelValues(class, "")
	}
	for _, code := range proxyProblems {
		m.problems[code] = requests.WithLabelValues(classes[api.Codes[code].Status/100], string(code))
	}
	m.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "stead_proxy_request_duration_seconds",
		Help:    "Time from a request's head to the end of its answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
	m.registry.MustRegister(requests, m.seconds, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.observe(p)
	return m
}

// observe registers what is counted elsewhere.
func (m *metrics) observe(p *Proxy) {
	counter := func(name, help string, values ...*atomic.Uint64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() (sum float64) {
			for _, value := range values {
				sum += float64(value.Load())
			}
			return sum
		}))
	}
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	stats := &p.nodes.Stats
	counter("stead_proxy_upstream_connects_total", "Connections made to nodes.", &stats.Connects)
	counter("stead_proxy_upstream_connect_failures_total", "Connections to nodes that could not be made.", &stats.ConnectFailures)
	counter("stead_proxy_upstream_reuses_total", "Requests sent on a connection used before.", &stats.Reuses)
	counter("stead_proxy_upstream_discards_total", "Idle connections found closed, or with something unasked on them.", &stats.Discards)
	counter("stead_proxy_upstream_retries_total", "Requests sent again, on a fresh connection or to another node.", &stats.Retries, &m.retries)
	counter("stead_proxy_upstream_moved_total", "Answers of nodes that do not hold the slot (421).", &m.moved)
	gauge("stead_proxy_requests_in_flight", "Requests under way.", func() float64 { return float64(m.inFlight.Load()) })
	if certificate := p.config.Security.TLS; certificate != nil {
		gauge("stead_certificate_expires_timestamp_seconds", "When this process's certificate ends to be valid.", func() float64 {
			return float64(certificate.Expires().Unix())
		})
	}
	gauge("stead_proxy_ring_version", "Number of the ring in force; 0 before the first.", func() float64 {
		if table := p.routes.Table(); table != nil {
			return float64(table.View.Table.Version.Number)
		}
		return 0
	})
	gauge("stead_proxy_ring_age_seconds", "Time since the ring in force was taken up.", func() float64 {
		if table := p.routes.Table(); table != nil {
			return time.Since(table.Since).Seconds()
		}
		return 0
	})
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *metrics) answered(status int) {
	if class := status / 100; 1 <= class && class <= 5 {
		m.relayed[class].Inc()
		return
	}
	m.relayed[0].Inc()
}

func (m *metrics) refused(code api.Code) {
	if counter, known := m.problems[code]; known {
		counter.Inc()
		return
	}
	m.relayed[0].Inc()
}
