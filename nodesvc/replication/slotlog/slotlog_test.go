package slotlog

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

func TestLogLife(t *testing.T) {
	onBoth(t, func(t *testing.T, store Store) {
		first := entriesFrom(1, 20, 3)
		mustAppend(t, store, 7, &Meta{Adopted: 3, Held: true}, first...)
		mustAppend(t, store, 8, nil, entriesFrom(1, 2, 1)...)
		expectLog(t, store, 7, 1, first)
		expectLog(t, store, 7, 11, first[10:])
		expectLog(t, store, 7, 21, nil)
		expectLog(t, store, 9, 1, nil)

		store.Trim(7, 5)
		expectTrimmed(t, store, 7, 4)
		expectLog(t, store, 7, 5, first[4:])
		store.Truncate(7, 12, Meta{Adopted: 4}, nil)
		expectLog(t, store, 7, 5, first[4:12])
		second := entriesFrom(13, 3, 4)
		store.Append(7, second, nil, nil)
		expectLog(t, store, 7, 5, append(append([]Entry(nil), first[4:12]...), second...))
		store.Trim(7, 100)
		expectLog(t, store, 7, 15, second[2:])
		expectTrimmed(t, store, 7, 14)

		store.Reset(7, Meta{Adopted: 5, Base: 100}, nil)
		expectLog(t, store, 7, 101, nil)
		expectTrimmed(t, store, 7, 100)
		if size := store.Size(7); size != 0 {
			t.Errorf("%d bytes after a reset", size)
		}
		third := entriesFrom(101, 4, 5)
		mustAppend(t, store, 7, nil, third...)
		expectLog(t, store, 7, 101, third)
		expectLog(t, store, 8, 1, entriesFrom(1, 2, 1))
	})
}

// What is found at the start is what there was at the end.
func TestDiskLoad(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	trimAtOnce(store)
	meta := Meta{Adopted: 9, Acked: 8, History: []ownership.EpochStart{{Epoch: 3, Start: 1}, {Epoch: 8, Start: 15}}, Held: true, Config: configOf(9, 1, "n1", "n2")}
	store.Append(0, entriesFrom(1, 20, 3), &meta, nil)
	store.Trim(0, 6)
	restored := Meta{Adopted: 2, Base: 40, Digest: 41, Held: true}
	store.Reset(math.MaxUint16, restored, nil)
	store.Append(math.MaxUint16-1, entriesFrom(1, 1, 1), nil, nil)
	adopted := Meta{Adopted: 77, Config: configOf(77, -1, "n9")}
	store.SetMeta(3, adopted, nil)
	sizes := []int64{store.Size(0), store.Size(math.MaxUint16)}
	mustClose(t, store)

	store, found := openAndLoad(t, fs)
	defer mustClose(t, store)
	want := map[api.Slot]Loaded{
		0:                  {Meta: meta, First: 6, Last: 20, Tip: 3<<32 | 20},
		3:                  {Meta: adopted, First: 1},
		math.MaxUint16 - 1: {First: 1, Last: 1, Tip: 1<<32 | 1},
		math.MaxUint16:     {Meta: restored, First: 41, Last: 40, Tip: 41},
	}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("found %+v\nwant  %+v", found, want)
	}
	if got := []int64{store.Size(0), store.Size(math.MaxUint16)}; !reflect.DeepEqual(got[1], sizes[1]) || got[0] < sizes[0]-10 || got[0] > sizes[0]+10 {
		t.Errorf("sizes %v, were %v", got, sizes)
	}
	expectLog(t, store, 0, 6, entriesFrom(6, 15, 3))
	mustAppend(t, store, 0, nil, entriesFrom(21, 1, 9)...)
	mustAppend(t, store, math.MaxUint16, nil, entriesFrom(41, 1, 9)...)
	expectLog(t, store, math.MaxUint16, 41, entriesFrom(41, 1, 9))
}

// Records larger than the queue and the engine's buffers are records like others.
func TestLargestRecords(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	entries := entriesFrom(1, 3, 1)
	entries[0].Record = bytes.Repeat([]byte("large"), 4<<20)
	entries[2].Record = bytes.Repeat([]byte("too"), 6<<20)
	kept := slices.Clone(entries)
	mustAppend(t, store, 1, nil, entries...)
	expectLog(t, store, 1, 1, kept)
	flush(t, store)
	mustClose(t, store)
	store, _ = openAndLoad(t, fs)
	expectLog(t, store, 1, 1, kept)
	mustClose(t, store)
}

// What is trimmed is removed once it is worth a tombstone, and is back after a crash before that.
func TestDiskTrimsInSteps(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	for seq := ownership.Seq(1); seq <= 100; seq++ {
		mustAppend(t, store, 1, nil, Entry{Seq: seq, Record: make([]byte, trimSize/10-writeSize)})
	}
	reopened := func(want ownership.Seq) {
		t.Helper()
		mustClose(t, store)
		var found map[api.Slot]Loaded
		if store, found = openAndLoad(t, fs); found[1].First != want || found[1].Last != 100 {
			t.Errorf("the log is from %d to %d, want from %d", found[1].First, found[1].Last, want)
		}
	}
	store.Trim(1, 9)
	expectTrimmed(t, store, 1, 8)
	reopened(1)
	store.Trim(1, 9)
	store.Trim(1, 12)
	reopened(12)
	store.Trim(1, 20)
	store.Truncate(1, 20, Meta{}, nil)
	mustAppend(t, store, 1, nil, Entry{Seq: 21})
	expectTrimmed(t, store, 1, 19)
	store.Trim(1, 21)
	store.Reset(1, Meta{Base: 100}, nil)
	reopened(101)
	mustClose(t, store)
}

// Callbacks come in the order of the calls, from one goroutine.
func TestCallbacksAreInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, store Store) {
		var writers sync.WaitGroup
		running := 0 // unguarded: the race detector would tell
		for slot := range api.Slot(8) {
			writers.Go(func() {
				heard := make(chan ownership.Seq, 100)
				for seq := ownership.Seq(1); seq <= 100; seq++ {
					store.Append(slot, entriesFrom(seq, 1, 1), nil, func(err error) {
						running++
						if err != nil {
							t.Error(err)
						}
						heard <- seq
					})
				}
				for seq := ownership.Seq(1); seq <= 100; seq++ {
					if got := <-heard; got != seq {
						t.Errorf("slot %d: %d was called in place of %d", slot, got, seq)
					}
				}
			})
		}
		writers.Wait()
	})
}

func TestHolesFailTheStore(t *testing.T) {
	run := func(what string, bad func(Store, func(error))) {
		t.Helper()
		store := openOn(t, vfs.NewMem())
		mustAppend(t, store, 1, nil, entriesFrom(1, 9, 1)...)
		store.Trim(1, 5)
		err := wait(func(done func(error)) { bad(store, done) })
		if !errors.Is(err, ErrOutOfOrder) || !errors.Is(store.Err(), ErrOutOfOrder) {
			t.Errorf("%s: %v", what, err)
		}
		if err := wait(func(done func(error)) { store.SetMeta(2, Meta{}, done) }); err == nil {
			t.Errorf("%s: the store goes on", what)
		}
		mustClose(t, store)
		closeEngine(t, store)
	}
	run("a hole", func(s Store, done func(error)) { s.Append(1, entriesFrom(11, 1, 1), nil, done) })
	run("an overlap", func(s Store, done func(error)) { s.Append(1, entriesFrom(9, 1, 1), nil, done) })
	run("a log that begins late", func(s Store, done func(error)) { s.Append(2, entriesFrom(2, 1, 1), nil, done) })
	run("truncated to what was trimmed", func(s Store, done func(error)) { s.Truncate(1, 3, Meta{}, done) })
}

// A writer that is faster than the disk waits, also with records larger than the queue.
func TestQueueIsBounded(t *testing.T) {
	gate := &gatedBackend{memory: &memory{slots: map[api.Slot]*memoryLog{}}, open: make(chan struct{})}
	store := newFront(gate, 0, newFailure())
	large := func(seq ownership.Seq) []Entry {
		return []Entry{{Seq: seq, Record: make([]byte, queueSizeMax)}}
	}
	store.Append(1, large(1), nil, nil)
	<-gate.entered() // the writer holds the first, the queue the second
	store.Append(1, large(2), nil, nil)
	third := make(chan struct{})
	go func() {
		store.Append(1, large(3), nil, nil)
		close(third)
	}()
	store.mu.Lock()
	if store.size > queueSizeMax+2*writeSize || len(store.queue) > 1 {
		t.Errorf("%d bytes in %d writes wait", store.size, len(store.queue))
	}
	store.mu.Unlock()
	close(gate.open)
	<-third
	if entries, err := store.Read(1, 1, math.MaxInt); err != nil || len(entries) != 3 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// gatedBackend commits nothing before it is opened.
type gatedBackend struct {
	*memory
	open chan struct{}
	once sync.Once
	in   chan struct{}
}

func (g *gatedBackend) entered() chan struct{} {
	g.once.Do(func() { g.in = make(chan struct{}, 100) })
	return g.in
}

func (g *gatedBackend) commit(writes []*write) error {
	g.entered() <- struct{}{}
	<-g.open
	return g.memory.commit(writes)
}

// closeEngine ends what a failed store leaves running: a process would end here.
func closeEngine(t testing.TB, store Store) {
	t.Helper()
	if d, ok := store.(*diskStore); ok {
		_ = d.back.close()
	}
}
