package slotlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// model is what a store should hold.
type model map[api.Slot]*modelLog

type modelLog struct {
	meta    Meta
	entries []Entry
	first   ownership.Seq
}

func (m model) at(slot api.Slot) *modelLog {
	if m[slot] == nil {
		m[slot] = &modelLog{first: 1}
	}
	return m[slot]
}

func (l *modelLog) last() ownership.Seq { return l.first + ownership.Seq(len(l.entries)) - 1 }

func (l *modelLog) size() (size int64) {
	for _, entry := range l.entries {
		size += int64(len(entry.Record))
	}
	return size
}

func (l *modelLog) loaded() Loaded {
	found := Loaded{Meta: l.meta, First: l.first, Last: l.last(), Tip: l.meta.Digest}
	if n := len(l.entries); n > 0 {
		found.Tip = l.entries[n-1].Digest
	}
	return found
}

// randomWrites drives a store and the model with the same calls.
type randomWrites struct {
	*rand.Rand
	model model
	store Store
}

const modelSlots = 5

func (r *randomWrites) step(done func(error)) {
	slot := api.Slot(r.IntN(modelSlots)) * 13_000
	log := r.model.at(slot)
	switch r.IntN(10) {
	case 0, 1, 2, 3, 4:
		entries := r.entries(log.last() + 1)
		log.entries = append(log.entries, entries...)
		var meta *Meta
		if r.IntN(3) == 0 {
			log.meta = r.meta(log.meta.Base, log.meta.Digest)
			given := log.meta
			meta = &given
		}
		r.store.Append(slot, entries, meta, done)
	case 5:
		log.meta = r.meta(log.meta.Base, log.meta.Digest)
		r.store.SetMeta(slot, log.meta, done)
	case 6, 7:
		keep := r.IntN(len(log.entries) + 1)
		if log.first > log.meta.Base+1 {
			keep = max(keep, 1)
		}
		log.entries = log.entries[:keep:keep]
		log.meta = r.meta(log.meta.Base, log.meta.Digest)
		r.store.Truncate(slot, log.last(), log.meta, done)
	case 8:
		upTo := log.first + ownership.Seq(r.IntN(len(log.entries)+3))
		r.store.Trim(slot, upTo)
		if gone := min(int(upTo-log.first), len(log.entries)-1); gone > 0 {
			log.entries, log.first = log.entries[gone:], log.first+ownership.Seq(gone)
		}
		r.store.Trim(slot, 0)
	case 9:
		base := ownership.Seq(r.IntN(1000))
		*log = modelLog{meta: r.meta(base, r.Uint64()), first: base + 1}
		r.store.Reset(slot, log.meta, done)
	}
}

func (r *randomWrites) entries(first ownership.Seq) []Entry {
	entries := entriesFrom(first, r.IntN(6), api.Epoch(r.IntN(100)))
	for i := range entries {
		size := r.IntN(200)
		if r.IntN(50) == 0 {
			size = r.IntN(100_000)
		}
		entries[i].Record = fmt.Appendf(entries[i].Record, "%0*d", size, r.IntN(1000))
	}
	return entries
}

func (r *randomWrites) meta(base ownership.Seq, digest uint64) Meta {
	meta := Meta{Adopted: api.Epoch(r.Uint64()), Acked: api.Epoch(r.Uint64()), Base: base, Digest: digest, Held: r.IntN(2) == 0}
	for range r.IntN(4) {
		meta.Config = configOf(meta.Adopted, r.IntN(3), "n1", "n2", "n3")
		meta.History = append(meta.History, ownership.EpochStart{Epoch: api.Epoch(r.Uint64()), Start: ownership.Seq(r.Uint64())})
	}
	return meta
}

// check compares the logs, and how long they are said to be: within a mark or a tenth.
func (m model) check(store Store) error {
	for slot, log := range m {
		got, err := readAll(store, slot, log.first)
		if err == nil {
			err = sameEntries(got, log.entries)
		}
		if err != nil {
			return fmt.Errorf("slot %d: %w", slot, err)
		}
		if log.first > 1 {
			if _, err := store.Read(slot, log.first-1, 1); !errors.Is(err, ErrTrimmed) {
				return fmt.Errorf("slot %d before its start: %v", slot, err)
			}
		}
		if got, want := store.Size(slot), log.size(); got < 0 || len(log.entries) == 0 && got != 0 {
			return fmt.Errorf("slot %d is %d bytes long, not %d", slot, got, want)
		}
	}
	return nil
}

func TestAgainstModel(t *testing.T) {
	onBoth(t, func(t *testing.T, store Store) {
		for seed := range uint64(4) {
			r := &randomWrites{Rand: rand.New(rand.NewPCG(seed, 1)), model: model{}, store: store}
			for slot := range api.Slot(modelSlots) {
				store.Reset(slot*13_000, Meta{}, nil)
			}
			for step := range 1500 {
				r.step(func(err error) {
					if err != nil {
						t.Error(err)
					}
				})
				if step%100 == 0 {
					if r.IntN(2) == 0 {
						flush(t, store)
					}
					if err := r.model.check(store); err != nil {
						t.Fatalf("seed %d, step %d: %v", seed, step, err)
					}
				}
			}
		}
	})
}

// After a crash at any moment the store holds what some moment between the last acknowledgement and the crash
// saw: all that was acknowledged, and of the rest the first so and so many writes.
func TestCrashAgainstModel(t *testing.T) {
	for seed := range uint64(12) {
		fs := vfs.NewCrashableMem()
		store, _ := openAndLoad(t, fs)
		trimAtOnce(store)
		r := &randomWrites{Rand: rand.New(rand.NewPCG(seed, 2)), model: model{}, store: store}
		for round := range 4 {
			fs = r.crash(t, fs, fmt.Sprintf("seed %d, round %d", seed, round))
		}
		mustClose(t, r.store)
	}
}

// crash runs some writes, has the machine crash in their midst, and opens what is left.
func (r *randomWrites) crash(t *testing.T, fs *vfs.MemFS, what string) *vfs.MemFS {
	states := []model{r.model.clone()}
	acknowledged := make(chan int, 1000)
	for step := range 60 {
		r.step(func(err error) {
			if err == nil {
				acknowledged <- step + 1
			}
		})
		states = append(states, r.model.clone())
		if r.IntN(30) == 0 {
			flush(t, r.store)
		}
		if r.IntN(20) == 0 {
			if err := wait(func(done func(error)) { r.store.SetMeta(1, Meta{}, done) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	least := 0
	for len(acknowledged) > 0 {
		least = <-acknowledged
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(r.Uint64(), 3))})
	mustClose(t, r.store)

	store, found := openAndLoad(t, after)
	trimAtOnce(store)
	r.store = store
	delete(found, 1)
	for i := len(states) - 1; i >= least; i-- {
		if states[i].is(found) && states[i].check(store) == nil {
			r.model = states[i]
			return after
		}
	}
	t.Fatalf("%s: what is left is none of the %d states since the %dth write was acknowledged: %+v", what, len(states)-least, least, found)
	return nil
}

func (m model) clone() model {
	copied := model{}
	for slot, log := range m {
		one := *log
		copied[slot] = &one
	}
	return copied
}

func (m model) is(found map[api.Slot]Loaded) bool {
	for slot, log := range m {
		if !reflect.DeepEqual(found[slot], log.loaded()) && (found[slot].Last != 0 || log.last() != 0 || log.meta.Adopted != 0) {
			return false
		}
	}
	return true
}
