package peer

import (
	"cmp"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// Stats are of the connections with one node since it is listed. Counts include heartbeats; bytes are those of
// frames, whatever TLS adds.
type Stats struct {
	Node        api.NodeID
	Linked      bool
	Since       time.Time // of the present connection
	Heard       time.Time // last
	Connections uint64
	FramesIn    uint64
	FramesOut   uint64
	BytesIn     uint64
	BytesOut    uint64
	Queued      int // bytes of urgent frames that wait, or are being written
}

// Stats lists the nodes by id.
func (l *Links) Stats() []Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	stats := make([]Stats, 0, len(l.others))
	for id, other := range l.others {
		stats = append(stats, other.stats(id))
	}
	slices.SortFunc(stats, func(a, b Stats) int { return cmp.Compare(a.Node, b.Node) })
	return stats
}

func (o *other) stats(id api.NodeID) Stats {
	c := &o.counters
	stats := Stats{
		Node: id, Connections: c.connections.Load(),
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
	}
	if heard := c.heard.Load(); heard != 0 {
		stats.Heard = time.Unix(0, heard)
	}
	if link := o.present.Load(); link != nil {
		stats.Linked, stats.Since, stats.Queued = true, link.since, link.queue.queued()
	}
	return stats
}

// Bytes are those of all frames received and sent since Open, of nodes that are no longer listed too.
func (l *Links) Bytes() (in, out uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	in, out = l.goneIn, l.goneOut
	for _, other := range l.others {
		in += other.counters.bytesIn.Load()
		out += other.counters.bytesOut.Load()
	}
	return in, out
}
