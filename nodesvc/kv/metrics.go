package kv

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/nodesvc"
	"github.com/stead-io/stead/nodesvc/collector"
)

// metrics is what GET /metrics shows.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(node *nodesvc.Node, certificate *transport.TLS) *metrics {
	m := &metrics{
		registry: collector.Registry(node),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stead_kv_requests_total", Help: "Requests answered, by method and status.",
		}, []string{"method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stead_kv_request_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"method"}),
	}
	m.registry.MustRegister(m.requests, m.seconds)
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
