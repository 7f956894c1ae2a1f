package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stead-io/stead/nodesvc"
	"github.com/stead-io/stead/nodesvc/replication"
)

// slotMetrics are of nodes that keep slots for a service.
var slotMetrics = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*replication.Stats) float64
}{
	{describe("updates_total", "Updates that have ended."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.Updates) }},
	{describe("updates_unknown_total", "Updates that ended without it being known whether they took effect."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.Unknown) }},
	{describe("reads_total", "Reads that have ended."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.Reads) }},
	{describe("updates_parked", "Updates and reads that wait inside the service for a slot."), prometheus.GaugeValue,
		func(s *replication.Stats) float64 { return float64(s.Parked) }},
	{describe("epochs_refused_total", "Messages of other nodes that were refused because their epoch is over."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.EpochsRefused) }},
	{describe("replication_lag_records", "Records that the slowest replica in sync of any slot has yet to acknowledge."), prometheus.GaugeValue,
		func(s *replication.Stats) float64 { return float64(s.LagRecords) }},
	{describe("replication_lag_bytes", "Bytes of such records."), prometheus.GaugeValue,
		func(s *replication.Stats) float64 { return float64(s.LagBytes) }},
	{describe("slots_backed", "Slots the node is a replica in sync of, without serving them."), prometheus.GaugeValue,
		func(s *replication.Stats) float64 { return float64(s.Backups) }},
	{describe("slots_joining", "Slots that are being copied to the node."), prometheus.GaugeValue,
		func(s *replication.Stats) float64 { return float64(s.Joining) }},
	{describe("copied_out_bytes_total", "Bytes of slots copied to other nodes."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.BytesOut) }},
	{describe("copied_in_bytes_total", "Bytes of slots copied from other nodes."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.BytesIn) }},
	{describe("copies_out_total", "Slots copied to other nodes."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.CopiesOut) }},
	{describe("copies_in_total", "Slots copied from other nodes."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.CopiesIn) }},
	{describe("hand_overs_total", "Slots whose primary became another node at this one's doing."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.HandOvers) }},
	{describe("hand_overs_backed_off_total", "Hand-overs that were given up for a while because requests did not end."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.HandOversBacked) }},
	{describe("proposals_total", "Configurations proposed to the control plane."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.Proposals) }},
	{describe("proposals_refused_total", "Proposals that it refused."), prometheus.CounterValue,
		func(s *replication.Stats) float64 { return float64(s.Refused) }},
	{describe("disk_full", "1 while the disk's reserve is used up, and updates are refused."), prometheus.GaugeValue,
		func(s *replication.Stats) float64 {
			if s.DiskFull {
				return 1
			}
			return 0
		}},
}

var freezeDesc = describe("freeze_seconds", "How long slots served nothing while they were handed over.")

func collectSlots(stats nodesvc.Stats, out chan<- prometheus.Metric) {
	replicated := stats.Replication
	for _, metric := range slotMetrics {
		out <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(replicated))
	}
	out <- freezes(replicated)
}

// freezes is the histogram of hand-overs: Prometheus wants every bucket to count those below it too.
func freezes(stats *replication.Stats) prometheus.Metric {
	buckets := make(map[float64]uint64, len(replication.FreezeBuckets))
	count := uint64(0)
	for i, bound := range replication.FreezeBuckets {
		count += stats.Freezes[i]
		buckets[bound.Seconds()] = count
	}
	count += stats.Freezes[len(replication.FreezeBuckets)]
	return prometheus.MustNewConstHistogram(freezeDesc, count, stats.FreezeSum.Seconds(), buckets)
}
