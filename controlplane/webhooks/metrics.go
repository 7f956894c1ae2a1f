package webhooks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	lagMetric = prometheus.NewDesc("stead_webhook_lag_seconds",
		"How long the event in front of a webhook has been refused; 0 on members that do not lead.", []string{"webhook"}, nil)
	deliveriesMetric = prometheus.NewDesc("stead_webhook_deliveries_total",
		"Events posted by this member, by what became of them.", []string{"webhook", "outcome"}, nil)
)

// Describe implements prometheus.Collector.
func (w *Webhooks) Describe(to chan<- *prometheus.Desc) {
	to <- lagMetric
	to <- deliveriesMetric
}

// Collect implements prometheus.Collector.
func (w *Webhooks) Collect(to chan<- prometheus.Metric) {
	now := time.Now()
	for _, hook := range w.hooks {
		name, lag := hook.target.name(), hook.lag(now)
		hook.mu.Lock()
		taken, failed := hook.taken, hook.failed
		hook.mu.Unlock()
		to <- prometheus.MustNewConstMetric(lagMetric, prometheus.GaugeValue, lag.Seconds(), name)
		to <- prometheus.MustNewConstMetric(deliveriesMetric, prometheus.CounterValue, float64(taken), name, "taken")
		to <- prometheus.MustNewConstMetric(deliveriesMetric, prometheus.CounterValue, float64(failed), name, "failed")
	}
}
