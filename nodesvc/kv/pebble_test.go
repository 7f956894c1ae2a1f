package kv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A large value does not slow its small neighbours down: it is not in their blocks.
func TestLargeValuesAreKeptApart(t *testing.T) {
	fs := vfs.NewMem()
	store := mustDisk(t, "", fs)
	for i := range uint64(100) {
		value := []byte("small")
		if i == 50 {
			value = make([]byte, ValueSizeMax)
		}
		r := putRecord(i, fmt.Sprint(i), "")
		r.entry.Value = value
		mustApply(t, store, 7, r)
	}
	mustClose(t, store)
	store = mustDisk(t, "", fs)
	defer mustClose(t, store)
	if apart := store.db.Metrics().BlobFiles; apart.LiveCount != 1 || apart.ValueSize < ValueSizeMax {
		t.Errorf("%d files of large values, %d bytes", apart.LiveCount, apart.ValueSize)
	}
	if got, err := store.Get(placeOf("50")); err != nil || len(got.Value) != ValueSizeMax {
		t.Errorf("%d bytes, %v", len(got.Value), err)
	}
}

// After a failed sync nothing is served. (Where the engine meets the failure while it changes log files, it ends the
// process by itself.) The engine may keep locks then, and cannot be closed: a process of its own ends with it.
func TestFailedSyncEndsTheStore(t *testing.T) {
	if os.Getenv(brokenEngine) == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestFailedSyncEndsTheStore$", "-test.timeout=60s")
		child.Env = append(os.Environ(), brokenEngine+"=1")
		if output, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, output)
		}
		return
	}
	for _, size := range []int{1, 64 << 10} {
		for _, operation := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData} {
			var broken atomic.Bool
			fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && op.Kind == operation && strings.HasSuffix(op.Path, ".log") {
					return errorfs.ErrInjected
				}
				return nil
			}))
			store := mustDisk(t, "", fs)
			put := func(value []byte) error {
				r := putRecord(1, "a", string(value))
				_, err := store.Apply(7, r.append())
				return errors.Join(err, store.Sync())
			}
			if err := put([]byte("before")); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			err := put(make([]byte, size))
			if err == nil && operation == errorfs.OpFileSync {
				broken.Store(false) // the log is synced another way on this system
				mustClose(t, store)
				continue
			}
			if err == nil {
				t.Fatalf("%d bytes, operation %d: Sync without a sync succeeded", size, operation)
			}
			<-store.Failed()
			_, errGet := store.Get(placeOf("a"))
			if errGet == nil || store.Err() == nil || put(nil) == nil || store.Probe(context.Background()) == nil {
				t.Errorf("%d bytes, operation %d: the store goes on", size, operation)
			}
			mustClose(t, store)
		}
	}
}
