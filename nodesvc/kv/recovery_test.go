package kv

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api/ownership"
)

// crash is what a machine finds on the disk after the power failed: all that was synced, and any part of what
// was not.
func crash(fs *vfs.MemFS, random *rand.Rand) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
}

// abandon ends a store whose disk is gone.
func abandon(s *store) { _ = s.db.Close() }

// After a crash the log's records behind those applied lead to the state that there was, whatever of the
// unsynced writes survived; nothing that was synced is applied again.
func TestReplayAfterCrash(t *testing.T) {
	records := randomRecords(3, 400)
	whole := mustMemory(t)
	defer mustClose(t, whole)
	mustApply(t, whole, 7, records...)
	want := digestOf(t, whole, 7)
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 2))
		fs := vfs.NewCrashableMem()
		s := mustDisk(t, "kv", fs)
		next, synced := 0, ownership.Seq(0)
		for next < len(records) {
			for range random.IntN(60) {
				if next < len(records) {
					mustApply(t, s, 7, records[next])
					next++
				}
			}
			switch random.IntN(3) {
			case 0:
				if err := s.Sync(); err != nil {
					t.Fatal(err)
				}
				synced = ownership.Seq(next)
			case 1:
				image := crash(fs, random)
				abandon(s)
				fs, s = image, mustDisk(t, "kv", image)
				applied := seqOf(t, s, 7)
				if applied < synced || int(applied) > next {
					t.Fatalf("seed %d: %d applied after the crash, %d were synced, %d applied before", seed, applied, synced, next)
				}
				next = int(applied)
			}
		}
		if digestOf(t, s, 7) != want {
			t.Errorf("seed %d: another state", seed)
		}
		mustClose(t, s)
	}
}

// A crash while a state is read in leaves the slot empty, or as it was; after RestoreAt the state stays.
func TestCrashWhileRestoring(t *testing.T) {
	source := mustMemory(t)
	defer mustClose(t, source)
	for i := range 12 {
		r := putRecord(uint64(i), string(rune('a'+i)), "")
		r.entry.Value = make([]byte, 1<<20)
		mustApply(t, source, 7, r)
	}
	state := stateOf(t, source, 7)
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 3))
		fs := vfs.NewCrashableMem()
		s := mustDisk(t, "kv", fs)
		mustApply(t, s, 7, putRecord(1, "old", ""))
		before := digestOf(t, s, 7)
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		var image *vfs.MemFS
		midway := readerFunc(func(octets []byte) (int, error) {
			image = crash(fs, random)
			return 0, errors.New("power failed")
		})
		reached := random.IntN(len(state))
		if err := s.RestoreAt(7, 9, io.MultiReader(bytes.NewReader(state[:reached]), midway)); err == nil {
			t.Fatal("restored half a state")
		}
		abandon(s)
		s = mustDisk(t, "kv", image)
		if seq := seqOf(t, s, 7); seq != 0 && (seq != 1 || digestOf(t, s, 7) != before) {
			t.Errorf("seed %d: as of %d, half restored", seed, seq)
		}
		if err := s.RestoreAt(7, 9, bytes.NewReader(state)); err != nil {
			t.Fatal(err)
		}
		image = image.CrashClone(vfs.CrashCloneCfg{})
		abandon(s)
		s = mustDisk(t, "kv", image)
		if seq := seqOf(t, s, 7); seq != 9 || !bytes.Equal(stateOf(t, s, 7), state) {
			t.Errorf("seed %d: a restored state did not survive, it is as of %d", seed, seq)
		}
		if err := s.Drop(7); err != nil {
			t.Fatal(err)
		}
		image = image.CrashClone(vfs.CrashCloneCfg{})
		abandon(s)
		s = mustDisk(t, "kv", image)
		if seq := seqOf(t, s, 7); seq != 0 {
			t.Errorf("seed %d: a dropped slot came back, as of %d", seed, seq)
		}
		mustClose(t, s)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(octets []byte) (int, error) { return f(octets) }

// A folder from before slots were replicated is refused, and says what to do; so are unknown ones.
func TestOtherLayoutsAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	run := func(change func(db *pebble.DB) error, want error) {
		t.Helper()
		s := mustDisk(t, "kv", fs)
		if err := change(s.db); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		if _, err := openDisk("kv", fs, quiet()); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if err := fs.RemoveAll("kv"); err != nil {
			t.Fatal(err)
		}
	}
	run(func(db *pebble.DB) error { return db.Set(layoutKey, []byte("1"), pebble.Sync) }, ErrNotReplicated)
	run(func(db *pebble.DB) error { return db.Set(layoutKey, []byte("3"), pebble.Sync) }, ErrLayout)
	run(func(db *pebble.DB) error {
		return errors.Join(db.Set([]byte{2, 3}, nil, pebble.Sync), db.Delete(layoutKey, pebble.Sync))
	}, ErrLayout)
}
