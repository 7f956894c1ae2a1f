package replication

import (
	"errors"
	"io"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// Service is what holds the state. The engine calls it from several goroutines: calls for different slots
// overlap, those for one slot do not, but for Snapshot of a Viewer. What requests read of the state they read
// beside these calls, so a service guards it.
type Service interface {
	// Apply carries out a record. It comes committed, once, in order, on every replica; what it does must
	// depend on nothing but the slot's state and the record. What it returns is given to the Update that made
	// the record, on the replica where that waits; an error too, unless it wraps ErrBroken.
	Apply(slot api.Slot, record []byte) (any, error)
	// Snapshot writes the slot's state. Apply of the slot waits for it. Two replicas with the same state write
	// the same octets.
	Snapshot(slot api.Slot, w io.Writer) error
	// Restore replaces the slot's state by one that Snapshot wrote. It may be called in place of Drop. When it
	// fails the slot's state is Drop's.
	Restore(slot api.Slot, r io.Reader) error
	// Drop removes the slot's state. Of a slot without state it does nothing.
	Drop(slot api.Slot) error
}

// Durable is a Service that keeps its state on disk by itself. Without it the engine saves snapshots, and at a
// start restores the last one and applies what came after.
type Durable interface {
	Service
	// ApplyAt is called in place of Apply. The service stores seq with the slot's state, in one atomic write
	// with what the record changes. The write need not be synced.
	ApplyAt(slot api.Slot, seq ownership.Seq, record []byte) (any, error)
	// RestoreAt is called in place of Restore: the state is that after record seq. It is durable on return.
	RestoreAt(slot api.Slot, seq ownership.Seq, r io.Reader) error
	// Applied is the seq stored with the slot's state; 0 if there is none. Records after it are applied again.
	Applied(slot api.Slot) (ownership.Seq, error)
	// Sync makes all that was applied durable: records that it covers may be forgotten.
	Sync() error
}

// Viewer is a Service that can show a slot's state as it is now while it goes on changing. Without it a large
// slot takes no writes while it is copied aside.
type Viewer interface {
	// View holds on to the state; writing it must equal what Snapshot would write now.
	View(slot api.Slot) (View, error)
}

// View is a slot's state at one moment.
type View interface {
	io.WriterTo
	io.Closer
}

// Checker is a Service that can tell whether octets are the state of a slot. Without it a state that an operator
// puts back and Restore refuses leaves the slot empty, on all replicas.
type Checker interface {
	// Check reads all of r and says why Restore would refuse it. It changes nothing, and may be called at any time.
	Check(slot api.Slot, r io.Reader) error
}

// Rehearser is a Service without a log (Config.Frozen) that can say beforehand why a slot should not be moved:
// requests of the slot wait while it is copied.
type Rehearser interface {
	// Rehearse makes a snapshot to nowhere, while requests go on. An error says why the slot stays.
	Rehearse(slot api.Slot) error
}

// ErrBroken in an error of a Service says that its state can no longer be trusted: the node ends.
var ErrBroken = errors.New("the service's state is broken")
