// Package collector shows the counters of a node to Prometheus. It owns their names; nodesvc counts, and
// knows nothing of Prometheus, so that services without it need not import it.
package collector

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/stead-io/stead/api/build"
	"github.com/stead-io/stead/nodesvc"
)

// New shows the counters of a node.
func New(node *nodesvc.Node) prometheus.Collector { return counters{node} }

// Registry holds what every process of a node shows: its counters, its build, and what Go and the
// operating system say of it.
func Registry(node *nodesvc.Node) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(New(node), buildInfo(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// buildInfo names the build; its value is always 1.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stead_build_info", Help: "The build that runs; always 1.", ConstLabels: build.This().Labels(),
	}, func() float64 { return 1 })
}

type counters struct{ node *nodesvc.Node }

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
	{describe("parked", "Requests waiting for a slot or the ring."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return float64(s.Parked) }},
	{describe("slots", "Slots the node serves."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return float64(s.Slots) }},
	{describe("ring_version", "Number of the ring version the node acts on."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return float64(s.RingVersion) }},
	{describe("registrations_total", "Registrations the control plane took."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Registrations) }},
	{describe("beats_total", "Beats the control plane took."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.Beats) }},
	{describe("beat_failures_total", "Beats the control plane did not take."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.BeatFailures) }},
	{describe("peer_received_bytes_total", "Bytes received from other nodes: records, copies of slots, and what goes with them."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.PeerBytesIn) }},
	{describe("peer_sent_bytes_total", "Bytes sent to other nodes."), prometheus.CounterValue,
		func(s nodesvc.Stats) float64 { return float64(s.PeerBytesOut) }},
	{describe("canary_seconds", "Time the last write that tries the disk took, or the one under way has taken."), prometheus.GaugeValue,
		func(s nodesvc.Stats) float64 { return s.Canary.Seconds() }},
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("stead_node_"+name, help, nil, nil)
}

// Describe lists the metrics.
func (counters) Describe(out chan<- *prometheus.Desc) {
	for _, metric := range nodeMetrics {
		out <- metric.desc
	}
	for _, metric := range slotMetrics {
		out <- metric.desc
	}
	out <- freezeDesc
}

// Collect reads them all at one moment. Those of replication are there once the node's slots are open.
func (c counters) Collect(out chan<- prometheus.Metric) {
	stats := c.node.Stats()
	if stats.Replication != nil {
		collectSlots(stats, out)
	}
	for _, metric := range nodeMetrics {
		out <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(stats))
	}
}
