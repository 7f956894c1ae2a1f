package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/stead-io/stead/api"
)

// metrics are one registry a member, so that several members can live in one process.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(control Control, certificateExpires func() time.Time) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stead_control_requests_total", Help: "Requests to the control API by route, method and status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stead_control_request_duration_seconds", Help: "Time to answer, long-polls excepted.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"route"}),
	}
	m.registry.MustRegister(m.requests, m.duration, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("stead_control_leader", "1 on the member that leads.", func() float64 { return asNumber(control.IsLeader()) })
	gauge("stead_control_in_touch", "1 while this member hears from a leader.", func() float64 { return asNumber(control.InTouch()) })
	gauge("stead_control_term", "Raft term.", func() float64 { return float64(control.Term()) })
	gauge("stead_control_applied_index", "Index of the last log entry applied.", func() float64 { return float64(control.State().Index) })
	gauge("stead_ring_version", "Number of the ring version.", func() float64 { return float64(control.State().Number) })
	gauge("stead_ring_generation", "Generation of the ring.", func() float64 { return float64(control.State().Generation) })
	gauge("stead_ring_changes_held", "Changes that the eviction governor holds.", func() float64 { return float64(len(control.State().HeldChanges())) })
	m.registerSnapshots(control)
	if certificateExpires != nil {
		gauge("stead_certificate_expires_timestamp_seconds", "When this process's certificate ends to be valid.", func() float64 {
			return float64(certificateExpires().Unix())
		})
	}
	for _, status := range []api.NodeStatus{api.NodeUp, api.NodeSuspect, api.NodeDown} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stead_nodes", Help: "Registered nodes by status.", ConstLabels: prometheus.Labels{"status": string(status)},
		}, func() float64 {
			count := 0
			for _, node := range control.State().Nodes() {
				if node.Status == status {
					count++
				}
			}
			return float64(count)
		}))
	}
	return m
}

// registerSnapshots adds what tells of restores and of the schedule.
func (m *metrics) registerSnapshots(control Control) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stead_slots_recovering", Help: "Slots that wait for a store's report after a restore.",
		}, func() float64 { return float64(control.State().Recovering()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stead_snapshot_saved_timestamp_seconds", Help: "When the schedule last saved a snapshot here; 0: not yet.",
		}, func() float64 {
			if saved := control.Snapshots().Saved; !saved.IsZero() {
				return float64(saved.Unix())
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "stead_snapshot_failures_total", Help: "Snapshots that the schedule could not save here.",
		}, func() float64 { return float64(control.Snapshots().Failures) }),
	)
}

func asNumber(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *metrics) measure(route string, next http.Handler) http.Handler {
	waits := route == "/v1/ring" || route == "/v1/roster" || route == "/v1/events"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK, bound: answerBound(route)}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the last answer's
		start := time.Now()
		next.ServeHTTP(recorder, r)
		m.requests.WithLabelValues(route, r.Method, strconv.Itoa(recorder.status)).Inc()
		if !waits {
			m.duration.WithLabelValues(route).Observe(time.Since(start).Seconds())
		}
	})
}

// answerTimeout bounds the writing of one answer: a client that stops reading is hung up on.
const answerTimeout = 15 * time.Second

// statusRecorder remembers the status that was written, and has the answer end in time.
type statusRecorder struct {
	http.ResponseWriter
	status  int
	written bool
	bound   time.Duration // of the writing
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status, r.written = status, true
	_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(r.bound))
	r.ResponseWriter.WriteHeader(status)
}

func (r *statusRecorder) Write(p []byte) (int, error) {
	if !r.written {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(p)
}

func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
