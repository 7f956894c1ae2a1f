package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/nodesvc"
)

func mustDisk(t *testing.T, path string, fs vfs.FS) *disk {
	t.Helper()
	store, err := openDisk(path, fs, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func mustClose(t *testing.T, store Store) {
	t.Helper()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestDiskKeepsEntries(t *testing.T) {
	path := t.TempDir()
	at := Place{Hash: 7, Key: []byte("acme"), Name: []byte("a")}
	want := Entry{Version: Version{Writer: 1, Number: 2}, ContentType: "text/plain", Value: []byte("value")}
	store := mustDisk(t, path, nil)
	if err := errors.Join(store.Put(at, want), store.Probe(context.Background())); err != nil {
		t.Fatal(err)
	}
	mustClose(t, store)
	store = mustDisk(t, path, nil)
	defer mustClose(t, store)
	got, err := store.Get(at)
	if err != nil || got.Version != want.Version || got.ContentType != want.ContentType || string(got.Value) != "value" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := store.Get(Place{Hash: 7, Key: []byte("acme"), Name: []byte("b")}); !errors.Is(err, ErrAbsent) {
		t.Errorf("another name: %v", err)
	}
}

// The entries of a slot are one range of the store, in the order of slots.
func TestSlotsAreRanges(t *testing.T) {
	view, err := soloRing(testSettings(), "00112233445566778899aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	store := mustDisk(t, "", vfs.NewMem())
	defer mustClose(t, store)
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		key := fmt.Appendf(nil, "tenant %d", random.IntN(100))
		at := Place{Hash: view.Hash(key), Key: key, Name: fmt.Appendf(nil, "%d", random.Uint64())}
		if err := store.Put(at, Entry{}); err != nil {
			t.Fatal(err)
		}
	}
	records, err := store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{entryRecords}})
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	last, count := ring.Slot(0), 0
	for records.First(); records.Valid(); records.Next() {
		at := readPlace(records.Key())
		if at.Hash != view.Hash(at.Key) || view.Slot(at.Key) < last {
			t.Fatalf("slot %d stands behind slot %d", view.Slot(at.Key), last)
		}
		last = view.Slot(at.Key)
		count++
	}
	if count != 500 {
		t.Errorf("%d entries", count)
	}
}

// A large value does not slow its small neighbours down: it is not in their blocks.
func TestLargeValuesAreKeptApart(t *testing.T) {
	fs := vfs.NewMem()
	store := mustDisk(t, "", fs)
	for i := range uint64(100) {
		value := []byte("small")
		if i == 50 {
			value = make([]byte, ValueSizeMax)
		}
		if err := store.Put(Place{Hash: i, Key: []byte("k"), Name: []byte("n")}, Entry{Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, store)
	store = mustDisk(t, "", fs)
	defer mustClose(t, store)
	if apart := store.db.Metrics().BlobFiles; apart.LiveCount != 1 || apart.ValueSize < ValueSizeMax {
		t.Errorf("%d files of large values, %d bytes", apart.LiveCount, apart.ValueSize)
	}
	if got, err := store.Get(Place{Hash: 50, Key: []byte("k"), Name: []byte("n")}); err != nil || len(got.Value) != ValueSizeMax {
		t.Errorf("%d bytes, %v", len(got.Value), err)
	}
}

func TestDiskRefusesOtherLayouts(t *testing.T) {
	fs := vfs.NewMem()
	run := func(change func(db *pebble.DB) error, want string) {
		t.Helper()
		store := mustDisk(t, "store", fs)
		if err := change(store.db); err != nil {
			t.Fatal(err)
		}
		mustClose(t, store)
		if _, err := openDisk("store", fs, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if err := fs.RemoveAll("store"); err != nil {
			t.Fatal(err)
		}
	}
	run(func(db *pebble.DB) error { return db.Set(layoutKey, []byte("2"), pebble.Sync) }, `"2"`)
	run(func(db *pebble.DB) error {
		return errors.Join(db.Set([]byte{2, 3}, nil, pebble.Sync), db.Delete(layoutKey, pebble.Sync))
	}, "names none")
}

// A write whose sync failed is not acknowledged, and nothing is served after it. (Where the engine
// meets the failure while it changes log files, it ends the process by itself.)
func TestFailedSyncEndsTheStore(t *testing.T) {
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
			at := Place{Hash: 1, Key: []byte("k"), Name: []byte("n")}
			if err := store.Put(at, Entry{Value: []byte("before")}); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			err := store.Put(at, Entry{Value: make([]byte, size)})
			if err == nil && operation == errorfs.OpFileSync {
				broken.Store(false) // the log is synced another way on this system
				mustClose(t, store)
				continue
			}
			if err == nil {
				t.Fatalf("%d bytes, operation %d: a write without its sync was acknowledged", size, operation)
			}
			<-store.Failed()
			_, errGet := store.Get(at)
			if errGet == nil || store.Err() == nil || store.Put(at, Entry{}) == nil || store.Probe(context.Background()) == nil {
				t.Errorf("%d bytes, operation %d: the store goes on", size, operation)
			}
			mustClose(t, store)
			broken.Store(false)
			_ = store.db.Close() // only for the goroutines' sake: a process would end here
		}
	}
}

func TestDiskIsLocked(t *testing.T) {
	folder := t.TempDir()
	first := openServer(t, folder)
	config := testConfig(newSoloControl(), folder)
	if second, err := Open(config); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a second server got the folder: %v", err)
		if err == nil {
			_ = second.Close(context.Background())
		}
	}
	expect(t, "the first goes on", do(t, first, "PUT", "/kv/a", "x"), 201, "")
}

func TestFolderOfAnotherClusterIsRefused(t *testing.T) {
	folder := t.TempDir()
	own := openServer(t, folder)
	expect(t, "put", do(t, own, "PUT", "/kv/a", "x"), 201, "")
	if err := own.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	settings := testSettings()
	settings.HashKey = strings.Repeat("f", 32)
	view, err := soloRing(settings, api.ClusterID(strings.Repeat("f", 32)))
	if err != nil {
		t.Fatal(err)
	}
	control := newSoloControl()
	control.view = view
	server, err := Open(testConfig(control, folder))
	if err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if !errors.Is(server.Err(), nodesvc.ErrForeignFolder) {
		t.Errorf("it ended with %v", server.Err())
	}
	if err := server.Close(context.Background()); err != nil {
		t.Error(err)
	}
	select {
	case <-control.registered:
		t.Error("it registered with the other cluster")
	default:
	}
}

// Writers to different places share syncs; none is lost.
func TestConcurrentWritersOnDisk(t *testing.T) {
	folder := t.TempDir()
	server := openServer(t, folder)
	var all sync.WaitGroup
	for writer := range 16 {
		all.Go(func() {
			for i := range 20 {
				path := fmt.Sprintf("/kv/%d-%d", writer, i)
				if got, err := try(server, "PUT", path, strings.NewReader(path), "Stead-Key: acme"); err != nil || got.status != 201 {
					t.Errorf("%s: %v %v", path, got, err)
				}
			}
		})
	}
	all.Wait()
	if err := server.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := openServer(t, folder)
	for writer := range 16 {
		for i := range 20 {
			path := fmt.Sprintf("/kv/%d-%d", writer, i)
			if got := do(t, again, "GET", path, ""); got.body != path {
				t.Errorf("%s: %+v", path, got)
			}
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	run := func(want string, change func(*Config)) {
		t.Helper()
		config := testConfig(newSoloControl(), "")
		change(&config)
		if server, err := Open(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if server != nil {
				_ = server.Close(context.Background())
			}
		}
	}
	run("listen address", func(c *Config) { c.Listen = "nowhere" })
	run("loopback", func(c *Config) { c.Listen, c.Node.Advertise = "0.0.0.0:0", "127.0.0.1:1" })
	run("to advertise", func(c *Config) { c.Listen = "0.0.0.0:0" })
	run("neither disk nor memory", func(c *Config) { c.Store = "tape" })
	run("data folder", func(c *Config) { c.Store = StoreDisk })
	run("node id", func(c *Config) { c.Node.ID = "" })
}
