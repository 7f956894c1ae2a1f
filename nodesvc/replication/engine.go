// Package replication keeps the slots of one node: it replicates what the service's updates record, and moves
// slots between nodes while they are used.
package replication

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// Control is what the engine asks of the control plane.
type Control interface {
	// Propose asks for configurations, at most api.SlotProposalsMax of them, as the node and session that
	// registered last. The verdicts come in the same order.
	Propose(context.Context, []api.SlotProposal) (api.SlotVerdicts, error)
}

// Config says what an engine works with.
type Config struct {
	Self    api.Replica
	Bits    int // the ring has 2^Bits slots
	Service Service
	Log     slotlog.Store
	Network peer.Network // nil: there are no others
	Control Control      // nil: configurations are what Learn says, and nothing is proposed (state none)
	Logger  *slog.Logger // nil: nobody hears
	// Frozen: the service keeps no log (state hooks). A slot is drained before it is copied.
	Frozen bool

	// AckTimeout is how long a replica may owe an answer before it leaves the in-sync set.
	AckTimeout time.Duration
	// DrainTimeout is how long a hand-over waits for running updates and reads before it backs off.
	DrainTimeout time.Duration
	// CopyOut and CopyIn bound copying, in bytes per second; 0: no bound. CopySlots is how many slots are
	// copied out at once.
	CopyOut, CopyIn uint64
	CopySlots       int
	// Reserve is how many bytes of the disk stay free: below, replicas say full and writes are refused.
	Reserve uint64
}

// Place is how the node stands to a slot.
type Place uint8

const (
	PlaceElsewhere Place = iota // another node serves it, or nobody
	PlaceComing                 // this node is about to serve it, or serves it again in a moment: wait
	PlaceHere                   // this node serves it
)

// Where is how the node stands to a slot, and who else does.
type Where struct {
	Place Place
	Epoch api.Epoch
	Owner api.NodeID    // the primary, as far as known
	Moved chan struct{} // closed when any of this changes
}

// Interface is the engine as nodesvc uses it; *Engine implements it.
type Interface interface {
	// Learn takes configurations from the control plane: newest wins. Of state none they are made of the ring.
	Learn(api.SlotFeed)
	// Registered says since when this process may be primary: its session's cursor.
	Registered(api.SlotCursor)
	// Where is how the node stands to a slot now.
	Where(slot api.Slot) Where
	// Update locks the key, lets propose make a record of what the state is now, and returns once the record
	// is on the disks of the whole in-sync set and applied, with what Apply returned. A nil record changes
	// nothing: the answer is then confirmed like a read's. An error of propose is returned as it is, confirmed
	// likewise. *api.Problem otherwise: of slot_moving, not_owner and not_confirmed nothing was appended.
	Update(ctx context.Context, slot api.Slot, key []byte, propose func() ([]byte, error)) (any, error)
	// Read runs read on the state, and returns once the in-sync set has confirmed that it was current at some
	// moment since the call; with local it does not ask.
	Read(ctx context.Context, slot api.Slot, read func() error, local bool) error
	// Yield hands every slot over that another replica in sync can take. It returns when none is left that
	// could be, or ctx ends.
	Yield(ctx context.Context) error
	// Moves is what beats report.
	Moves() api.Moves
	// Stats are counts for metrics.
	Stats() Stats
	// Held lists the slots there is state or a role of.
	Held() []Holding
	// Digest is of the slot's state, after record seq; replicas with the same state have the same.
	Digest(slot api.Slot) (seq ownership.Seq, digest [32]byte, err error)
	// Backup writes the slot's state as of some moment during the call, of the primary. begin is called first.
	Backup(ctx context.Context, slot api.Slot, begin func(api.Epoch, ownership.Seq) (io.Writer, error)) error
	// Restore replaces the slot's state on all replicas by one that Backup wrote. The slot must be empty
	// unless over says otherwise.
	Restore(ctx context.Context, slot api.Slot, state io.Reader, over bool) error
	// Failed is closed when the node must end; Err then says why.
	Failed() <-chan struct{}
	Err() error
	Close() error
}

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

// Defaults of a Config.
const (
	AckTimeoutDefault   = time.Second
	DrainTimeoutDefault = 250 * time.Millisecond
	CopyOutDefault      = 100_000_000 // bytes per second
	CopyInDefault       = 300_000_000 // bytes per second
	CopySlotsDefault    = 2
)
