package collector

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stead-io/stead/nodesvc/replication"
)

// counted shows the freezes of fixed counts.
type counted struct{ stats *replication.Stats }

func (counted) Describe(out chan<- *prometheus.Desc)   { out <- freezeDesc }
func (c counted) Collect(out chan<- prometheus.Metric) { out <- freezes(c.stats) }

// TestFreezes: the histogram's buckets add up.
func TestFreezes(t *testing.T) {
	stats := &replication.Stats{FreezeSum: 1500 * time.Millisecond}
	for i := range stats.Freezes {
		stats.Freezes[i] = 2
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(counted{stats})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	h := families[0].GetMetric()[0].GetHistogram()
	last := h.GetBucket()[len(h.GetBucket())-1]
	if h.GetSampleCount() != 22 || h.GetSampleSum() != 1.5 || last.GetUpperBound() != 10 || last.GetCumulativeCount() != 20 {
		t.Errorf("%v", h)
	}
}
