package httpapi

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/build"
)

// metrics are one registry a member, so that several members can live in one process.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	verdicts *prometheus.CounterVec
}

func newMetrics(control Control, fanout, slots *fanout, certificateExpires func() time.Time) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stead_control_requests_total", Help: "Requests to the control API by route, method and status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stead_control_request_duration_seconds", Help: "Time to answer by route and status, long-polls excepted.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"route", "status"}),
	}
	m.verdicts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stead_control_proposals_total", Help: "Slot configurations that nodes proposed to this leader, by kind and verdict: accepted, or why not.",
	}, []string{"kind", "verdict"})
	for kind := range nodeKinds {
		m.verdicts.WithLabelValues(kind.String(), proposalAccepted)
	}
	m.registry.MustRegister(m.requests, m.duration, m.verdicts, vitals{control, fanout, slots}, buildInfo(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registerSnapshots(control)
	if certificateExpires != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stead_certificate_expires_timestamp_seconds", Help: "When this process's certificate ends to be valid.",
		}, func() float64 { return float64(certificateExpires().Unix()) }))
	}
	return m
}

// buildInfo names the build; its value is always 1.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stead_build_info", Help: "The build that runs; always 1.", ConstLabels: build.This().Labels(),
	}, func() float64 { return 1 })
}

// registerSnapshots adds what tells of the schedule.
func (m *metrics) registerSnapshots(control Control) {
	m.registry.MustRegister(
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

// proposalAccepted is the verdict, as a label, on a proposal that stands.
const proposalAccepted = "accepted"

// countVerdicts counts proposals by kind, which the handler made sure of, and by what became of them.
func (m *metrics) countVerdicts(proposals []api.SlotProposal, verdicts []api.SlotVerdict) {
	for i, verdict := range verdicts {
		m.verdicts.WithLabelValues(proposals[i].Kind, cmp.Or(verdict.Refusal, proposalAccepted)).Inc()
	}
}

func asNumber(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *metrics) measure(route string, next http.Handler) http.Handler {
	waits := route == "/v1/ring" || route == "/v1/roster" || route == "/v1/events" || route == slotsPath
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK, bound: answerBound(route)}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the last answer's
		start := time.Now()
		next.ServeHTTP(recorder, r)
		status := strconv.Itoa(recorder.status)
		m.requests.WithLabelValues(route, r.Method, status).Inc()
		if !waits {
			m.duration.WithLabelValues(route, status).Observe(time.Since(start).Seconds())
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
