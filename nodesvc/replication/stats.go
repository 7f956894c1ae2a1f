package replication

import (
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// Holding is one slot as the node holds it.
type Holding struct {
	Slot      api.Slot      `json:"slot"`
	Role      string        `json:"role"` // primary, opening, sealed, backup, joining, outside
	Epoch     api.Epoch     `json:"epoch"`
	Last      ownership.Seq `json:"last"`
	Committed ownership.Seq `json:"committed"`
	Applied   ownership.Seq `json:"applied"`
	LogBytes  int64         `json:"log_bytes"`
}

// Stats are counts since the start, and gauges.
type Stats struct {
	Updates, Reads, Unknown     uint64 // finished; of updates, those whose outcome is unknown
	EpochsRefused               uint64 // messages of lower epochs
	BytesOut, BytesIn           uint64 // of copies
	CopiesOut, CopiesIn         uint64 // finished
	HandOvers, HandOversBacked  uint64 // done; given up to try later
	Parked                      int64  // updates and reads that wait for a slot now
	LagRecords                  uint64 // that the slowest replica in sync of any slot has yet to acknowledge
	LagBytes                    uint64
	Primaries, Backups, Joining int
	// Freezes counts hand-overs by how long the slot served nothing, in the buckets of FreezeBuckets.
	Freezes   [len(FreezeBuckets) + 1]uint64
	FreezeSum time.Duration
	DiskFull  bool
	Proposals uint64 // sent to the control plane
	Refused   uint64 // of these, refused
}

// FreezeBuckets are upper bounds.
var FreezeBuckets = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 10 * time.Second,
}

// counters are what Stats shows.
type counters struct {
	updates, reads, unknown, epochsRefused, bytesOut, bytesIn, copiesOut, copiesIn atomic.Uint64
	handOvers, backedOff, proposals, refused                                       atomic.Uint64
	parked                                                                         atomic.Int64
	freezes                                                                        [len(FreezeBuckets) + 1]atomic.Uint64
	freezeSum                                                                      atomic.Int64
}

// handedOver counts a hand-over by how long the slot served nothing here.
func (c *counters) handedOver(frozen time.Duration) {
	c.handOvers.Add(1)
	c.freezeSum.Add(int64(frozen))
	bucket := 0
	for bucket < len(FreezeBuckets) && frozen > FreezeBuckets[bucket] {
		bucket++
	}
	c.freezes[bucket].Add(1)
}

// Stats are counts for metrics.
func (e *Engine) Stats() Stats {
	c := &e.count
	stats := Stats{
		Updates: c.updates.Load(), Reads: c.reads.Load(), Unknown: c.unknown.Load(), EpochsRefused: c.epochsRefused.Load(),
		BytesOut: c.bytesOut.Load(), BytesIn: c.bytesIn.Load(), CopiesOut: c.copiesOut.Load(), CopiesIn: c.copiesIn.Load(),
		HandOvers: c.handOvers.Load(), HandOversBacked: c.backedOff.Load(), Proposals: c.proposals.Load(), Refused: c.refused.Load(),
		Parked: c.parked.Load(), FreezeSum: time.Duration(c.freezeSum.Load()), DiskFull: e.diskFull(),
	}
	for i := range c.freezes {
		stats.Freezes[i] = c.freezes[i].Load()
	}
	e.each(func(s *slot) { s.addTo(&stats) })
	return stats
}

func (s *slot) addTo(stats *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lead != nil:
		stats.Primaries++
		for _, m := range s.config.Others() {
			if acked, _ := s.lead.acked(m); s.last > acked {
				stats.LagRecords = max(stats.LagRecords, uint64(s.last-acked))
				stats.LagBytes = max(stats.LagBytes, s.bytesBehind(acked))
			}
		}
	case s.incoming != nil:
		stats.Joining++
	case s.config.InSync(s.engine.config.Self):
		stats.Backups++
	}
}

// bytesBehind is the size of the records behind a seq that are still in memory, as all are that a replica in
// sync has not acknowledged.
func (s *slot) bytesBehind(at seq) (size uint64) {
	for _, entry := range s.tail {
		if entry.Seq > at {
			size += uint64(len(entry.Record))
		}
	}
	return size
}

// Held lists the slots there is state or a role of.
func (e *Engine) Held() []Holding {
	held := []Holding{}
	e.each(func(s *slot) {
		if holding, any := s.holding(); any {
			holding.LogBytes = e.config.Log.Size(s.number)
			held = append(held, holding)
		}
	})
	return held
}

func (s *slot) holding() (h Holding, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h = Holding{Slot: s.number, Epoch: s.meta.Adopted, Last: s.last, Committed: s.commit, Applied: s.applied, Role: "outside"}
	switch l := s.lead; {
	case l != nil && l.handover != nil && l.handover.sealed:
		h.Role = "sealed"
	case l != nil && l.open:
		h.Role = "primary"
	case l != nil:
		h.Role = "opening"
	case s.incoming != nil:
		h.Role = "joining"
	case s.config.InSync(s.engine.config.Self):
		h.Role = "backup"
	}
	return h, h.Role != "outside" || s.meta.Held
}

// Moves is what beats report.
func (e *Engine) Moves() api.Moves {
	moves := api.Moves{BytesDone: e.count.bytesOut.Load()}
	now := time.Now()
	e.each(func(s *slot) { s.addMoves(&moves, now) })
	return moves
}

func (s *slot) addMoves(moves *api.Moves, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil || !s.lead.open || s.settled() {
		return
	}
	running := s.lead.handover != nil || len(s.lead.pending) > 0
	for m, f := range s.lead.followers {
		running = running || f.copy != nil
		if why := s.obstacle(f, now); why != "" && len(moves.Blocked) < api.MovesBlockedMax {
			moves.Blocked = append(moves.Blocked, api.MoveBlocked{Slot: s.number, To: m.Node, Reason: why})
		}
	}
	if running {
		moves.Running++
	} else {
		moves.Waiting++
	}
}

// settled reports whether the slot is held as it is wanted.
func (s *slot) settled() bool {
	if len(s.want) != len(s.config.ISR) || len(s.want) > 0 && s.want[0] != s.config.Primary.Node {
		return len(s.want) == 0
	}
	for _, m := range s.config.ISR {
		if !s.wants(m.Node) {
			return false
		}
	}
	return true
}
