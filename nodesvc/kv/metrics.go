package kv

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/nodesvc"
)

// metrics is what GET /metrics shows.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(node *nodesvc.Node, certificate *transport.TLS) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stead_kv_requests_total", Help: "Requests answered, by method and status.",
		}, []string{"method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stead_kv_request_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"method"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, nodeCollector{node},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if certificate != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stead_certificate_expires_timestamp_seconds", Help: "When this process's certificate ends to be valid.",
		}, func() float64 { return float64(certificate.Expires().Unix()) }))
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe counts and times what next answers.
func (m *metrics) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			method := methodLabel(r.Method)
			m.requests.WithLabelValues(method, strconv.Itoa(seen.status)).Inc()
			m.seconds.WithLabelValues(method).Observe(time.Since(began).Seconds())
		}()
		next.ServeHTTP(seen, r)
	})
}

// methodLabel keeps clients from making up labels.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		return method
	default:
		return "other"
	}
}

// statusWriter remembers the status of the answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// nodeCollector shows the node's own counters.
type nodeCollector struct{ node *nodesvc.Node }

var nodeMetrics = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(nodesvc.Stats) float64
}{
	{describe("served_total", "Requests the guard let through."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Served) }},
	{describe("redirected_total", "Requests answered 421 because another node holds the slot."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Redirected) }},
	{describe("refused_total", "Requests the guard answered 4xx or 503."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Refused) }},
	{describe("unparked_total", "Requests that found too many waiting for the ring to wait too."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Unparked) }},
	{describe("parked", "Requests waiting for the ring."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return float64(s.Parked) }},
	{describe("slots", "Slots the node is primary of."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return float64(s.Slots) }},
	{describe("ring_version", "Number of the ring version the node acts on."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return float64(s.RingVersion) }},
	{describe("registrations_total", "Registrations the control plane took."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Registrations) }},
	{describe("beats_total", "Beats the control plane took."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Beats) }},
	{describe("beat_failures_total", "Beats the control plane did not take."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.BeatFailures) }},
	{describe("canary_seconds", "Time the last write that tries the disk took, or the one under way has taken."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return s.Canary.Seconds() }},
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("stead_node_"+name, help, nil, nil)
}

// Describe lists the metrics.
func (nodeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, metric := range nodeMetrics {
		out <- metric.desc
	}
}

// Collect reads them all at one moment.
func (c nodeCollector) Collect(out chan<- prometheus.Metric) {
	stats := c.node.Stats()
	for _, metric := range nodeMetrics {
		out <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(stats))
	}
}
