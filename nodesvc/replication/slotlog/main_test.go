package slotlog

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testFolder is where stores of tests are on their file systems.
const testFolder = "/node/log"

func openOn(t testing.TB, fs vfs.FS) Store {
	t.Helper()
	files := folder{fs: fs}
	if err := errors.Join(fs.MkdirAll("/node", 0o700), files.sync("/")); err != nil {
		t.Fatal(err)
	}
	store, err := OpenDisk(testFolder, DiskOptions{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func openAndLoad(t testing.TB, fs vfs.FS) (Store, map[api.Slot]Loaded) {
	t.Helper()
	store := openOn(t, fs)
	found, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	return store, found
}

func mustClose(t testing.TB, store Store) {
	t.Helper()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// onBoth runs a test on a store on disk and one in memory.
func onBoth(t *testing.T, run func(*testing.T, Store)) {
	for name, open := range map[string]func() Store{
		"disk":   func() Store { return openOn(t, vfs.NewMem()) },
		"memory": NewMemory,
	} {
		t.Run(name, func(t *testing.T) {
			store := open()
			defer mustClose(t, store)
			if found, err := store.Load(); err != nil || len(found) > 0 {
				t.Fatalf("a new store holds %v, %v", found, err)
			}
			run(t, store)
		})
	}
}

// wait does a write and waits until it is durable.
func wait(write func(done func(error))) error {
	done := make(chan error, 1)
	write(func(err error) { done <- err })
	return <-done
}

func mustAppend(t testing.TB, store Store, slot api.Slot, meta *Meta, entries ...Entry) {
	t.Helper()
	if err := wait(func(done func(error)) { store.Append(slot, entries, meta, done) }); err != nil {
		t.Fatal(err)
	}
}

// entriesFrom makes records that can be told from each other.
func entriesFrom(first ownership.Seq, count int, epoch api.Epoch) []Entry {
	var entries []Entry
	for i := range count {
		seq := first + ownership.Seq(i)
		entries = append(entries, Entry{
			Seq: seq, Epoch: epoch, Kind: uint8(seq % 3), Digest: uint64(epoch)<<32 | uint64(seq),
			Record: fmt.Appendf(nil, "record %d of epoch %d", seq, epoch),
		})
	}
	return entries
}

// readAll reads a log in small steps.
func readAll(store Store, slot api.Slot, from ownership.Seq) (all []Entry, err error) {
	for {
		entries, err := store.Read(slot, from+ownership.Seq(len(all)), 50)
		if err != nil || len(entries) == 0 {
			return all, err
		}
		all = append(all, entries...)
	}
}

func expectLog(t testing.TB, store Store, slot api.Slot, from ownership.Seq, want []Entry) {
	t.Helper()
	got, err := readAll(store, slot, from)
	if err != nil {
		t.Fatalf("slot %d: %v", slot, err)
	}
	if err := sameEntries(got, want); err != nil {
		t.Errorf("slot %d: %v", slot, err)
	}
}

func sameEntries(got, want []Entry) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d entries, want %d", len(got), len(want))
	}
	for i, entry := range got {
		record := want[i].Record
		if !bytes.Equal(entry.Record, record) {
			return fmt.Errorf("record %d is %.60q, want %.60q", entry.Seq, entry.Record, record)
		}
		entry.Record = record
		if !reflect.DeepEqual(entry, want[i]) {
			return fmt.Errorf("entry %+v, want %+v", entry, want[i])
		}
	}
	return nil
}

func expectTrimmed(t testing.TB, store Store, slot api.Slot, from ownership.Seq) {
	t.Helper()
	if entries, err := store.Read(slot, from, 1); !errors.Is(err, ErrTrimmed) {
		t.Errorf("record %d of slot %d: %v, %v", from, slot, entries, err)
	}
}

// trimAtOnce lets a store on disk remove what is trimmed as a store in memory does.
func trimAtOnce(store Store) { store.(*diskStore).trimSize = 0 }

// flush moves what a store on disk has in memory to tables and files of large records, and compacts them.
func flush(t testing.TB, store Store) {
	t.Helper()
	on, isDisk := store.(*diskStore)
	if !isDisk {
		return
	}
	db := on.back.(*disk).db
	err := db.Flush()
	if err == nil {
		err = db.Compact(t.Context(), []byte{recordKeys}, []byte{endOfKeys}, false)
	}
	if err != nil {
		t.Fatal(err)
	}
}
