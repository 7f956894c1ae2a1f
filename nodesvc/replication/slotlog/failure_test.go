package slotlog

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// breakable is a file system where operations on some files fail from some moment on.
func breakable(fs vfs.FS, cause error, suffix string, operations ...errorfs.OpKind) (vfs.FS, *atomic.Bool) {
	broken := new(atomic.Bool)
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !broken.Load() || !strings.HasSuffix(op.Path, suffix) {
			return nil
		}
		for _, operation := range operations {
			if op.Kind == operation {
				return cause
			}
		}
		return nil
	})), broken
}

// A write whose sync failed, or that the disk had no room for, is not acknowledged; nothing is after it; what
// was acknowledged before is found by the next process.
func TestFailedWritesEndTheStore(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, operation := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData} {
			for _, size := range []int{10, 100 << 10} {
				memory := vfs.NewCrashableMem()
				fs, broken := breakable(memory, cause, ".log", operation)
				store, _ := openAndLoad(t, fs)
				kept := entriesFrom(1, 5, 1)
				mustAppend(t, store, 1, nil, kept...)
				broken.Store(true)
				lost := []Entry{{Seq: 6, Record: make([]byte, size)}}
				if err := wait(func(done func(error)) { store.Append(1, lost, nil, done) }); err == nil {
					t.Fatalf("%v, operation %d, %d bytes: it was acknowledged", cause, operation, size)
				}
				<-store.Failed()
				_, errRead := store.Read(1, 1, 1)
				errMeta := wait(func(done func(error)) { store.SetMeta(2, Meta{}, done) })
				if errRead == nil || errMeta == nil || store.Err() == nil {
					t.Errorf("%v, operation %d: the store goes on", cause, operation)
				}
				crashed := memory.CrashClone(vfs.CrashCloneCfg{})
				mustClose(t, store)
				broken.Store(false)
				closeEngine(t, store)

				again, _ := openAndLoad(t, crashed)
				expectLog(t, again, 1, 1, kept)
				mustClose(t, again)
			}
		}
	}
}

// What the engine cannot move to tables ends the store as well: its log would grow until the disk is full.
func TestFailedFlushEndsTheStore(t *testing.T) {
	fs, broken := breakable(vfs.NewMem(), syscall.ENOSPC, ".sst", errorfs.OpCreate)
	store, _ := openAndLoad(t, fs)
	mustAppend(t, store, 1, nil, entriesFrom(1, 5, 1)...)
	broken.Store(true)
	flushed, err := store.(*diskStore).back.(*disk).db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	<-store.Failed()
	if !errors.Is(store.Err(), syscall.ENOSPC) {
		t.Errorf("it failed with %v", store.Err())
	}
	broken.Store(false)
	<-flushed
	mustClose(t, store)
	closeEngine(t, store)
}

// Octets that changed on disk are an error, never a record.
func TestDamagedTablesAreNoticed(t *testing.T) {
	fs := vfs.NewMem()
	store, _ := openAndLoad(t, fs)
	mustAppend(t, store, 1, nil, entriesFrom(1, 500, 1)...)
	if err := store.(*diskStore).back.(*disk).db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, store)
	names, err := fs.List(testFolder + "/log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			flip(t, fs, testFolder+"/log/"+name, 1000)
		}
	}
	if err := readOver(t, fs); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("damage was read: %v", err)
	}
}

// readOver opens the store and reads slot 1 from end to end.
func readOver(t *testing.T, fs vfs.FS) error {
	store, err := OpenDisk(testFolder, DiskOptions{FS: fs})
	if err != nil {
		return err
	}
	if _, err = store.Load(); err == nil {
		_, err = readAll(store, 1, 1)
	}
	mustClose(t, store)
	if store.Err() != nil {
		closeEngine(t, store)
	}
	return err
}

func flip(t *testing.T, fs vfs.FS, path string, at int64) {
	t.Helper()
	file, err := fs.OpenReadWrite(path, writingState)
	if err != nil {
		t.Fatal(err)
	}
	octet := make([]byte, 1)
	_, err = file.ReadAt(octet, at)
	octet[0] ^= 0x40
	if err == nil {
		_, err = file.WriteAt(octet, at)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatalf("octet %d of %s: %v", at, path, err)
	}
}

func TestOtherLayoutsAreRefused(t *testing.T) {
	run := func(want string, change func(*pebble.DB) error) {
		t.Helper()
		fs := vfs.NewMem()
		store := openOn(t, fs)
		if err := change(store.(*diskStore).back.(*disk).db); err != nil {
			t.Fatal(err)
		}
		mustClose(t, store)
		_, err := OpenDisk(testFolder, DiskOptions{FS: fs})
		if !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	run(`"2"`, func(db *pebble.DB) error { return db.Set(layoutKey, []byte("2"), pebble.Sync) })
	run("names none", func(db *pebble.DB) error {
		return errors.Join(db.Set([]byte{2, 3}, nil, pebble.Sync), db.Delete(layoutKey, pebble.Sync))
	})
}

func TestOneProcessHasTheFolder(t *testing.T) {
	path := t.TempDir()
	store, err := OpenDisk(path, DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, store)
	if _, err := OpenDisk(path, DiskOptions{}); err == nil {
		t.Error("opened twice")
	}
	left, all, err := store.Free()
	if err != nil || left == 0 || all < left {
		t.Errorf("%d of %d bytes free, %v", left, all, err)
	}
}

// The disk may be full while a state is saved: the one before stays, and the log goes on.
func TestFullDiskLeavesTheStateBefore(t *testing.T) {
	fs, broken := breakable(vfs.NewMem(), syscall.ENOSPC, freshSuffix, errorfs.OpFileWrite)
	store, _ := openAndLoad(t, fs)
	defer mustClose(t, store)
	mustSave(t, store, 3, 10, "old")
	broken.Store(true)
	err := store.SaveState(3, 20, 1, func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return err
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("saved: %v", err)
	}
	broken.Store(false)
	expectState(t, store, 3, 10, "old")
	mustAppend(t, store, 3, nil, entriesFrom(1, 1, 1)...)
}
