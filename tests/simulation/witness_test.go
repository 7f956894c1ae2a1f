package simulation

import (
	"slices"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// witness stands between an engine and its log. It sees every write as the log says that it is durable, so it
// knows at each moment what a crash would leave, and asserts what the protocol promises of single stores.
type witness struct {
	slotlog.Store
	self  api.Replica
	judge *judge

	mu      sync.Mutex
	opened  bool // the engine has read the log
	stopped bool // its process has ended: what it hears counts no more
	slots   map[api.Slot]*evidence
}

// evidence is what is durable of one slot.
type evidence struct {
	asked   api.Epoch // highest epoch that was to be adopted
	meta    slotlog.Meta
	records map[ownership.Seq]uint64 // digest of the chain
	last    ownership.Seq
	cutting int // truncations and resets that are under way
}

// newWitness takes over what the witness of the process before knew, if the store is the same.
func newWitness(store slotlog.Store, self api.Replica, judge *judge, before *witness) *witness {
	w := &witness{Store: store, self: self, judge: judge, slots: make(map[api.Slot]*evidence)}
	if before != nil {
		w.slots = before.slots
	}
	return w
}

func (w *witness) open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened = true
}

func (w *witness) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

func (w *witness) slot(slot api.Slot) *evidence {
	e := w.slots[slot]
	if e == nil {
		e = &evidence{records: make(map[ownership.Seq]uint64)}
		w.slots[slot] = e
	}
	return e
}

// Load compares what the crash left with what was durable before it.
func (w *witness) Load() (map[api.Slot]slotlog.Loaded, error) {
	found, err := w.Store.Load()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for slot, e := range w.slots {
		is := found[slot]
		if is.Adopted < e.meta.Adopted {
			w.judge.fault("4: %v came back at epoch %d of slot %d, %d was durable", w.self, is.Adopted, slot, e.meta.Adopted)
		}
		if e.cutting == 0 && is.Last < e.last {
			w.judge.fault("%v came back with record %d of slot %d last, %d was durable", w.self, is.Last, slot, e.last)
		}
	}
	w.slots = make(map[api.Slot]*evidence)
	for slot, is := range found {
		e := w.slot(slot)
		e.meta, e.asked, e.last = is.Meta, is.Adopted, is.Last
		for next := is.First; next <= is.Last; {
			entries, err := w.Store.Read(slot, next, 1<<20)
			if err != nil || len(entries) == 0 {
				return nil, err
			}
			e.add(entries)
			next = entries[len(entries)-1].Seq + 1
		}
	}
	return found, nil
}

func (e *evidence) add(entries []slotlog.Entry) {
	for _, entry := range entries {
		e.records[entry.Seq], e.last = entry.Digest, entry.Seq
	}
}

// asks checks what is about to be written.
func (w *witness) asks(slot api.Slot, meta slotlog.Meta, cuts bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.slot(slot)
	if meta.Adopted < e.asked {
		w.judge.fault("4: %v went from epoch %d of slot %d back to %d", w.self, e.asked, slot, meta.Adopted)
	}
	e.asked = max(e.asked, meta.Adopted)
	if cuts {
		e.cutting++
	}
}

// noted has f done once a write is durable, before the engine hears of it.
func (w *witness) noted(slot api.Slot, done func(error), f func(*evidence)) func(error) {
	return func(err error) {
		w.mu.Lock()
		if err == nil && !w.stopped {
			f(w.slot(slot))
		}
		w.mu.Unlock()
		if done != nil {
			done(err)
		}
	}
}

func (w *witness) Append(slot api.Slot, entries []slotlog.Entry, meta *slotlog.Meta, done func(error)) {
	if meta != nil {
		w.asks(slot, *meta, false)
	}
	entries = slices.Clone(entries)
	w.Store.Append(slot, entries, meta, w.noted(slot, done, func(e *evidence) {
		e.add(entries)
		if meta != nil {
			e.meta = *meta
		}
	}))
}

func (w *witness) SetMeta(slot api.Slot, meta slotlog.Meta, done func(error)) {
	w.asks(slot, meta, false)
	w.Store.SetMeta(slot, meta, w.noted(slot, done, func(e *evidence) { e.meta = meta }))
}

func (w *witness) Truncate(slot api.Slot, last ownership.Seq, meta slotlog.Meta, done func(error)) {
	w.asks(slot, meta, true)
	w.Store.Truncate(slot, last, meta, w.noted(slot, done, func(e *evidence) {
		e.cutting--
		e.meta, e.last = meta, min(e.last, last)
		for seq := range e.records {
			if seq > last {
				delete(e.records, seq)
			}
		}
	}))
}

func (w *witness) Reset(slot api.Slot, meta slotlog.Meta, done func(error)) {
	w.asks(slot, meta, true)
	if !meta.Held {
		w.judge.emptied(w.self, slot, meta)
	}
	w.Store.Reset(slot, meta, w.noted(slot, done, func(e *evidence) {
		e.cutting--
		e.meta, e.last = meta, meta.Base
		clear(e.records)
	}))
}

// DropState follows the reset of a log whose slot is deleted, and of no other, once the engine is open.
func (w *witness) DropState(slot api.Slot) error {
	w.mu.Lock()
	meta, opened := w.slot(slot).meta, w.opened
	w.mu.Unlock()
	if opened && meta.Acked > 0 && meta.Acked >= meta.Adopted {
		w.judge.fault("10: %v deletes slot %d at epoch %d, having acknowledged in %d", w.self, slot, meta.Adopted, meta.Acked)
	}
	return w.Store.DropState(slot)
}

// has reports whether a record is durable here: in the log, or in the state that the log follows. known is
// false if this process has ended.
func (w *witness) has(slot api.Slot, seq ownership.Seq, digest uint64) (has, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.slot(slot)
	kept, found := e.records[seq]
	if found && kept != digest {
		return false, !w.stopped
	}
	return e.meta.Held && (found || seq <= e.meta.Base || seq < e.last), !w.stopped
}

// find is the digest of a record.
func (w *witness) find(slot api.Slot, seq ownership.Seq) (uint64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	digest, found := w.slot(slot).records[seq]
	return digest, found
}
