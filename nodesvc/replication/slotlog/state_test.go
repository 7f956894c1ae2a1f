package slotlog

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

func mustSave(t testing.TB, store Store, slot api.Slot, seq ownership.Seq, content string) {
	t.Helper()
	err := store.SaveState(slot, seq, uint64(seq)*7, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readState(store Store, slot api.Slot) (seq ownership.Seq, digest uint64, content []byte, err error) {
	seq, digest, state, err := store.State(slot)
	if err != nil {
		return 0, 0, nil, err
	}
	content, err = io.ReadAll(state)
	return seq, digest, content, errors.Join(err, state.Close())
}

func expectState(t testing.TB, store Store, slot api.Slot, wantSeq ownership.Seq, want string) {
	t.Helper()
	seq, digest, content, err := readState(store, slot)
	if err != nil || seq != wantSeq || digest != uint64(wantSeq)*7 || string(content) != want {
		t.Errorf("state of slot %d: %d bytes %.40q at %d with %d, %v; want %d bytes %.40q at %d",
			slot, len(content), content, seq, digest, err, len(want), want, wantSeq)
	}
}

func TestStates(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	if _, _, _, err := store.State(1); !errors.Is(err, io.EOF) {
		t.Errorf("no state: %v", err)
	}
	for i, content := range []string{"", "a", strings.Repeat("ab", stateBlockSize/2), strings.Repeat("abc", stateBlockSize)} {
		mustSave(t, store, 1, ownership.Seq(i), content)
		mustSave(t, store, 2, 100, "another")
		expectState(t, store, 1, ownership.Seq(i), content)
		mustClose(t, store)
		store, _ = openAndLoad(t, fs)
		expectState(t, store, 1, ownership.Seq(i), content)
	}
	if err := errors.Join(store.DropState(1), store.DropState(1)); err != nil {
		t.Error(err)
	}
	if _, _, _, err := store.State(1); !errors.Is(err, io.EOF) {
		t.Errorf("dropped: %v", err)
	}
	expectState(t, store, 2, 100, "another")
	mustClose(t, store)
}

// A state that could not be written whole leaves the one before, and nothing else.
func TestUnfinishedStateIsForgotten(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	mustSave(t, store, 1, 5, "old")
	sick := errors.New("the service is sick")
	err := store.SaveState(1, 6, 0, func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 3*stateBlockSize))
		return sick
	})
	if !errors.Is(err, sick) {
		t.Errorf("saved: %v", err)
	}
	expectState(t, store, 1, 5, "old")
	if names, err := fs.List(testFolder + "/" + stateFolder); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	mustClose(t, store)
}

// At any moment of a crash there is the old state or the new one, and after SaveState returned the new one.
func TestStatesSurviveCrashes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		fs := vfs.NewCrashableMem()
		store, _ := openAndLoad(t, fs)
		mustSave(t, store, 1, 1, "old")
		content := strings.Repeat("new", random.IntN(100_000))
		var during *vfs.MemFS
		err := store.SaveState(1, 2, 14, func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			during = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{})
		mustClose(t, store)
		store, _ = openAndLoad(t, during)
		expectState(t, store, 1, 1, "old")
		mustClose(t, store)
		store, _ = openAndLoad(t, after)
		expectState(t, store, 1, 2, content)
		mustClose(t, store)
	}
}

// Whatever octet of a state's file changes, wherever it ends: an error that names the file, and never an octet
// that was not written.
func TestDamagedStatesAreNamed(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	defer mustClose(t, store)
	content := []byte(strings.Repeat("0123456789", stateBlockSize/5))
	mustSave(t, store, 1, 5, string(content))
	path := testFolder + "/" + stateFolder + "/1"
	whole := readFile(t, fs, path)
	expect := func(what string, at int) {
		t.Helper()
		_, _, got, err := readState(store, 1)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s %d of %d: %v", what, at, len(whole), err)
		}
		if !bytes.HasPrefix(content, got) {
			t.Errorf("%s %d: octets that were not written", what, at)
		}
	}
	random := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		at := random.IntN(len(whole))
		if random.IntN(2) == 0 {
			at = random.IntN(64)
		}
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1 << random.IntN(8)
		writeFile(t, fs, path, damaged)
		expect("octet", at)
		writeFile(t, fs, path, whole[:at])
		expect("cut at", at)
	}
	writeFile(t, fs, path, append(bytes.Clone(whole), 0))
	expect("longer than", len(whole))
	writeFile(t, fs, path, whole)
	expectState(t, store, 1, 5, string(content))
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	file, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, fs vfs.FS, path string, content []byte) {
	t.Helper()
	file, err := fs.Create(path, writingState)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(bytes.Clone(content))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestSpools(t *testing.T) {
	onBoth(t, func(t *testing.T, store Store) {
		first, err1 := store.Spool()
		second, err2 := store.Spool()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		_, err1 = io.WriteString(first, "one ")
		_, err2 = io.WriteString(second, "other")
		_, err3 := io.WriteString(first, "spool")
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			reader, err := first.Reader()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(reader)
			if err := errors.Join(err, reader.Close()); err != nil || string(content) != "one spool" || first.Size() != 9 {
				t.Errorf("%q, %d bytes, %v", content, first.Size(), err)
			}
		}
		if err := errors.Join(first.Close(), second.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Spools that a process left behind are gone at the next start.
func TestSpoolsAreTemporary(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	spool, err := store.Spool()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, store)
	store, _ = openAndLoad(t, fs)
	if names, err := fs.List(testFolder + "/" + spoolFolder); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	mustClose(t, store)
}
