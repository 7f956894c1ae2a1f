package nodesvc

import (
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/nodesvc/replication"
)

type counters struct {
	served, redirected, refused, unparked atomic.Uint64
	registrations, beats, beatFailures    atomic.Uint64
}

// Stats counts what the node did since it started, for the service's metrics.
type Stats struct {
	Served        uint64 // requests let through to the service
	Redirected    uint64 // requests answered 421: another node holds the slot
	Refused       uint64 // requests answered 4xx or 503 by the guard
	Unparked      uint64 // requests that found too many waiting for the ring to wait too
	Parked        int64  // requests waiting for a slot or the ring now
	ParkedBytes   int64  // what they count against ParkedBytesMax
	Slots         int    // slots the node serves now
	RingVersion   uint64 // number of the ring version it acts on
	Registrations uint64 // registrations the control plane took
	Beats         uint64 // beats it took
	BeatFailures  uint64 // beats it did not take
	// Replication counts what the node's slots did; nil without a Service.
	Replication *replication.Stats
	// PeerBytesIn and PeerBytesOut are what went over the connections with other nodes: records, copies of
	// slots, and what goes with them.
	PeerBytesIn, PeerBytesOut uint64
	// Canary is how long the last write that tries the disk took, or the one under way has taken.
	Canary time.Duration
}

// Stats reads the counters.
func (n *Node) Stats() Stats {
	stats := Stats{
		Served:        n.stats.served.Load(),
		Redirected:    n.stats.redirected.Load(),
		Refused:       n.stats.refused.Load(),
		Unparked:      n.stats.unparked.Load(),
		Parked:        n.parking.requests.Load(),
		ParkedBytes:   n.parking.bytes.Load(),
		Registrations: n.stats.registrations.Load(),
		Beats:         n.stats.beats.Load(),
		BeatFailures:  n.stats.beatFailures.Load(),
		Canary:        n.canary.duration(time.Now()),
	}
	if opened := n.keeper.Load(); opened != nil {
		replicated := opened.engine.Stats()
		stats.Replication, stats.Slots = &replicated, replicated.Primaries
		if opened.links != nil {
			stats.PeerBytesIn, stats.PeerBytesOut = opened.links.Bytes()
		}
	} else {
		stats.Slots = len(n.Slots())
	}
	if view := n.View(); view != nil {
		stats.RingVersion = view.Table.Version.Number
	}
	return stats
}
