// Package slotlog keeps the replication logs of all slots of one store: on disk in one Pebble instance, whose
// write-ahead log is shared and synced for many slots at once, or in memory.
//
// It owns durability and order, not their meaning: which records may be appended, truncated or trimmed is
// decided by package ownership. Its invariants: a callback says nil only when the write and all writes queued
// before it survive a crash; after a failed write or sync nothing is written any more, and Failed is closed.
package slotlog

import (
	"errors"
	"io"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// ErrTrimmed says that a log no longer reaches back to the record asked for.
var ErrTrimmed = errors.New("the log begins later")

// Entry is one record of a slot's log.
type Entry struct {
	Seq    ownership.Seq
	Epoch  api.Epoch
	Kind   uint8  // whose record it is: the service's, or the engine's own
	Digest uint64 // of the chain of records up to and including this one
	Record []byte
}

// Meta is what a store knows of a slot besides its records. It is written whole.
type Meta struct {
	Adopted api.Epoch              // no lower epoch is obeyed any more; outlives the data
	Acked   api.Epoch              // highest epoch in which anything was acknowledged
	History []ownership.EpochStart // of the records, ascending
	Base    ownership.Seq          // the state restored last; records follow it
	Digest  uint64                 // of the chain at Base
	Held    bool                   // the store has state of the slot, be it empty
	// Config is the configuration adopted last, of epoch Adopted; the zero one if it is not known.
	Config ownership.Config[api.Replica]
}

// Loaded is a slot as it was found at the start.
type Loaded struct {
	Meta
	First ownership.Seq // of the records kept; Last+1 if there are none
	Last  ownership.Seq // Base if there are no records
	Tip   uint64        // Digest of the last record, or of Base
}

// ErrOutOfOrder says that records were to be appended that do not follow the last one, or removed where there
// never were any. It fails the store: whoever calls has lost track of the log.
var ErrOutOfOrder = errors.New("the records do not follow the log")

// Store keeps logs. Writes are done in the order of the calls; done, if it is not nil, is called once they are
// durable, from one goroutine, in that order. It must not block, nor call the store. Writes return at once,
// unless more than queueSizeMax bytes wait: then they block until the disk is through with some. Entries and
// their records belong to the store from then on, and what Read returns must not be changed.
//
// After a failure every write's done hears of it. Close first does what was queued; nothing may be called
// during Close or after it.
type Store interface {
	// Load returns every slot there is anything of. It is called once, before anything else.
	Load() (map[api.Slot]Loaded, error)
	// Append adds records, which must follow the last one, and writes meta too unless it is nil. The records of
	// a slot that there is nothing of begin with 1.
	Append(slot api.Slot, entries []Entry, meta *Meta, done func(error))
	// SetMeta writes meta.
	SetMeta(slot api.Slot, meta Meta, done func(error))
	// Truncate removes the records behind last, which is Base or a record that is kept, and writes meta.
	Truncate(slot api.Slot, last ownership.Seq, meta Meta, done func(error))
	// Reset removes all records and writes meta: the state was restored at meta.Base, or deleted.
	Reset(slot api.Slot, meta Meta, done func(error))
	// Trim removes the records before upTo, or before the last one if that is lower. The one that stays tells,
	// whatever is truncated later, where the log ends and with which digest. It need not be durable.
	Trim(slot api.Slot, upTo ownership.Seq)
	// Read returns records from the one numbered from on, at least one if there is, at most about sizeMax
	// bytes of them; ErrTrimmed if it is no longer kept. It sees all writes queued before, and waits for them.
	Read(slot api.Slot, from ownership.Seq, sizeMax int) ([]Entry, error)
	// Size is about how many bytes of records of the slot are kept.
	Size(slot api.Slot) int64

	// SaveState keeps a state of the slot for the next start, for services that do not keep theirs: the state
	// at seq, with the digest of the chain there. It replaces the one before, atomically, and returns when it
	// is durable. If it fails, the one before stands, or this one if only the last sync failed. A store in
	// memory has no next start: it keeps none, and does not call write. Calls for one slot do not overlap.
	SaveState(slot api.Slot, seq ownership.Seq, digest uint64, write func(io.Writer) error) error
	// State opens the state saved last; io.EOF if there is none, ErrDamaged if it is not as it was written,
	// be it after the first octets were read.
	State(slot api.Slot) (seq ownership.Seq, digest uint64, state io.ReadCloser, err error)
	// DropState forgets it.
	DropState(slot api.Slot) error
	// Spool makes a place for octets that are on their way, gone with the process.
	Spool() (Spool, error)

	// Free is how many bytes the disk has left, and how many it has in all; zeros for memory.
	Free() (left, all uint64, err error)
	// Failed is closed when the store can no longer be trusted; Err then says why.
	Failed() <-chan struct{}
	Err() error
	Close() error
}

// Spool holds octets in order.
type Spool interface {
	io.Writer
	// Reader reads what was written, from the start.
	Reader() (io.ReadCloser, error)
	Size() int64
	Close() error // and remove
}
