package nodesvc

import (
	"context"
	"io"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication"
	"github.com/stead-io/stead/nodesvc/replication/peer"
)

// engine is what a node keeps its slots with; *replication.Engine implements it.
type engine interface {
	peer.Handler // hears what other nodes say

	// Learn takes configurations from the control plane: the newest wins. In state none they are made of the
	// ring. Registered says since when this process may be primary.
	Learn(api.SlotFeed)
	Registered(api.SlotCursor)
	// Former ends what was decided before a generation, and returns the configurations that the store adopted
	// last before.
	Former(generation uint64) []api.SlotConfig

	// Where is how the node stands to a slot now; Moved is closed when that changes.
	Where(api.Slot) replication.Where
	// Update, Read and Hold are Node's. Of a problem that is retryable nothing was appended.
	Update(ctx context.Context, slot api.Slot, key []byte, propose func() ([]byte, error)) (any, error)
	Read(ctx context.Context, slot api.Slot, read func() error, local bool) error
	Hold(ctx context.Context, slot api.Slot, during func()) error
	// Yield hands over every slot that a replica in sync can take; it returns when none is left, or ctx ends.
	Yield(ctx context.Context) error

	// Moves is what beats report, Stats what metrics show, Held what operators ask for.
	Moves() api.Moves
	Stats() replication.Stats
	Held() []replication.Holding
	// Digest is of the slot's state after record seq.
	Digest(slot api.Slot) (seq ownership.Seq, digest [32]byte, err error)
	// Backup writes the slot's state as of some moment during the call; begin is called first.
	Backup(ctx context.Context, slot api.Slot, begin func(api.Epoch, ownership.Seq) (io.Writer, error)) error
	// Restore replaces the slot's state on all replicas; it must be empty unless over says otherwise.
	Restore(ctx context.Context, slot api.Slot, state io.Reader, over bool) error

	// Failed is closed when the node must end; Err then says why.
	Failed() <-chan struct{}
	Err() error
	Close() error
}

var _ engine = (*replication.Engine)(nil)

// openEngine opens the real one.
func openEngine(config replication.Config) (engine, error) {
	opened, err := replication.Open(config)
	if err != nil {
		return nil, err // and no engine: a nil one in the interface would look like one
	}
	return opened, nil
}
