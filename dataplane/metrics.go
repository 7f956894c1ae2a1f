package dataplane

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/build"
)

// metrics counts requests. What a request touches was looked up beforehand.
type metrics struct {
	registry *prometheus.Registry
	relayed  [6]prometheus.Counter // answers of nodes, by the first digit of their status
	problems map[api.Code]prometheus.Counter
	seconds  prometheus.Histogram
	nodes    *nodeMetrics
	inFlight atomic.Int64
	moved    atomic.Uint64 // 421 answers of nodes
	retries  atomic.Uint64 // requests sent again after a failed dial or a 421
	givenUp  atomic.Uint64 // requests refused because their node takes no connections
}

// proxyProblems are the codes a proxy answers with.
var proxyProblems = []api.Code{
	api.CodeNoKey, api.CodeBadKey, api.CodeBadRequest, api.CodeHeaderTooLarge, api.CodeTooLarge, api.CodeUpgrade, api.CodeConnect,
	api.CodeNoRing, api.CodeSlotUnassigned, api.CodeSlotMoving, api.CodeOwnerDown, api.CodeOwnerFailed, api.CodeOwnerTimeout,
	api.CodeDraining, api.CodeTooSlow, api.CodeTooManyConnections, api.CodeClientGone, api.CodeOverloaded, api.CodeLoop,
}

// classes are statuses by their first digit.
var classes = [6]string{0: "other", 1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

func newMetrics(p *Proxy) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), problems: make(map[api.Code]prometheus.Counter), nodes: newNodeMetrics(p.routes.Table)}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stead_proxy_requests_total",
		Help: "Requests answered, by class of status and, for the proxy's own answers, problem code.",
	}, []string{"code", "problem"})
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
	m.registry.MustRegister(requests, m.seconds, m.nodes, buildInfo(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.observe(p)
	return m
}

// buildInfo names the build; its value is always 1.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stead_build_info", Help: "The build that runs; always 1.", ConstLabels: build.This().Labels(),
	}, func() float64 { return 1 })
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
