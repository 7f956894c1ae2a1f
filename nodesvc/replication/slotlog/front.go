package slotlog

import (
	"fmt"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// Limits of what waits to be written. What is queued becomes one batch: one that is larger than half a memtable
// would be a table of its own.
const (
	queueSizeMax = 6 << 20 // bytes, unless a single write is larger
	writeSize    = 64      // bytes that a write or an entry counts for besides its record
)

// trimSize is how many bytes of a slot's records a store on disk removes at once: each removal leaves a
// tombstone that readers pass until it meets what it removes.
const trimSize = 64 << 10

// A backend does writes. Its calls but read do not overlap.
type backend interface {
	// load returns all slots, and of each the octets counted before its first record and up to its last one.
	load() (map[api.Slot]Loaded, map[api.Slot]counts, error)
	// commit does all the writes in order, or none, and returns once they are durable if any of them need be.
	commit([]*write) error
	// read returns at most about sizeMax bytes of entries of [from, last], but at least one if it is there.
	read(slot api.Slot, from, last ownership.Seq, sizeMax int) ([]Entry, error)
	close() error
}

type counts struct{ before, total uint64 }

// write is what one call changes: first the records of [from, to) go, then entries come, then meta.
type write struct {
	slot     api.Slot
	from, to ownership.Seq
	entries  []Entry
	before   uint64 // octets counted ahead of the entries
	meta     *Meta
	lazy     bool // need not be durable
	done     func(error)
}

func (w *write) size() int {
	size := writeSize
	for i := range w.entries {
		size += writeSize + len(w.entries[i].Record)
	}
	return size
}

// front is the half that both stores share: it knows where each log begins and ends, keeps the order of
// writes, and has one goroutine that hands all that waits to the backend at once.
type front struct {
	*failure
	back     backend
	trimSize uint64        // records are removed once trimmed ones have so many bytes
	ended    chan struct{} // closed when the writer has

	mu      sync.Mutex
	room    sync.Cond // the queue was taken
	work    sync.Cond // there is something in the queue, or closed
	visible sync.Cond // through rose
	slots   map[api.Slot]*extent
	queue   []*write
	size    int    // of the queue, in bytes
	tickets uint64 // writes queued so far
	through uint64 // writes done so far
	closed  bool
}

func newFront(back backend, trimSize uint64, failed *failure) *front {
	f := &front{failure: failed, back: back, trimSize: trimSize, ended: make(chan struct{}), slots: map[api.Slot]*extent{}}
	f.room.L, f.work.L, f.visible.L = &f.mu, &f.mu, &f.mu
	go f.run()
	return f
}

func (f *front) Load() (map[api.Slot]Loaded, error) {
	found, counted, err := f.back.load()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for slot, loaded := range found {
		f.slots[slot] = loadedExtent(loaded, counted[slot].before, counted[slot].total)
	}
	return found, nil
}

func (f *front) Append(slot api.Slot, entries []Entry, meta *Meta, done func(error)) {
	f.enqueue(&write{slot: slot, entries: entries, meta: meta, done: done}, func(e *extent, w *write) error {
		w.before = e.total()
		for i := range entries {
			if entries[i].Seq != e.last+1 {
				return fmt.Errorf("cannot append record %d of slot %d behind %d: %w", entries[i].Seq, slot, e.last, ErrOutOfOrder)
			}
			e.append(len(entries[i].Record))
		}
		return nil
	})
}

func (f *front) SetMeta(slot api.Slot, meta Meta, done func(error)) { f.Append(slot, nil, &meta, done) }

func (f *front) Truncate(slot api.Slot, last ownership.Seq, meta Meta, done func(error)) {
	f.enqueue(&write{slot: slot, meta: &meta, done: done}, func(e *extent, w *write) error {
		if last >= e.last {
			return nil
		}
		if last < e.first && last != e.base {
			return fmt.Errorf("cannot truncate slot %d, whose log begins at %d, to %d: %w", slot, e.first, last, ErrOutOfOrder)
		}
		w.from, w.to = max(last, e.gone.seq)+1, e.last+1
		e.truncate(last)
		return nil
	})
}

func (f *front) Reset(slot api.Slot, meta Meta, done func(error)) {
	f.enqueue(&write{slot: slot, meta: &meta, done: done}, func(e *extent, w *write) error {
		w.from, w.to = e.gone.seq+1, e.last+1
		e.reset(meta.Base)
		return nil
	})
}

func (f *front) Trim(slot api.Slot, upTo ownership.Seq) {
	f.enqueue(&write{slot: slot, lazy: true}, func(e *extent, w *write) error {
		upTo = min(upTo, e.last)
		if upTo > e.first && e.trim(upTo) >= f.trimSize {
			w.from, w.to = e.gone.seq+1, upTo
			e.removed()
		}
		return nil
	})
}

func (f *front) Read(slot api.Slot, from ownership.Seq, sizeMax int) ([]Entry, error) {
	for {
		last, err := f.await(slot, from)
		if err != nil || from > last {
			return nil, err
		}
		entries, err := f.back.read(slot, from, last, sizeMax)
		if err != nil {
			f.set(err)
			return nil, err
		}
		if len(entries) > 0 {
			return entries, nil
		}
		if f.still(slot, from) {
			err := fmt.Errorf("cannot read record %d of slot %d: it is not there", from, slot)
			f.set(err)
			return nil, err
		}
	}
}

// await waits until all that was queued for the slot is done, and returns where its log ends.
func (f *front) await(slot api.Slot, from ownership.Seq) (last ownership.Seq, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.slots[slot]
	if e == nil {
		return 0, nil
	}
	for ticket := e.written; f.through < ticket; {
		f.visible.Wait()
	}
	if err := f.Err(); err != nil {
		return 0, err
	}
	if from < e.first {
		return 0, fmt.Errorf("cannot read record %d of slot %d: %w at %d", from, slot, ErrTrimmed, e.first)
	}
	return e.last, nil
}

// still reports whether the slot's log has that record, and all that was queued of it is done.
func (f *front) still(slot api.Slot, seq ownership.Seq) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.slots[slot]
	return seq >= e.first && seq <= e.last && e.written <= f.through
}

func (f *front) Size(slot api.Slot) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.slots[slot]; e != nil {
		return e.size()
	}
	return 0
}
