package nodesvc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
)

func TestFolderKeepsItsIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	first, err := openFolder(path, "n0", layoutPlain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(path, "n0", layoutPlain); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a second process got the folder: %v", err)
	}
	first.close()
	for boot := uint64(2); boot < 5; boot++ {
		again, err := openFolder(path, "n0", layoutPlain)
		if err != nil {
			t.Fatal(err)
		}
		if again.identity.StoreID != first.identity.StoreID || again.identity.Boot != boot {
			t.Errorf("start %d: %+v, first was %+v", boot, again.identity, first.identity)
		}
		again.close()
	}
	if _, err := openFolder(path, "n1", layoutPlain); !errors.Is(err, ErrForeignFolder) {
		t.Errorf("another node got the folder: %v", err)
	}
}

func TestMemoryStoreIsNewEachTime(t *testing.T) {
	first, errFirst := openFolder("", "n0", layoutPlain)
	second, errSecond := openFolder("", "n0", layoutPlain)
	if err := errors.Join(errFirst, errSecond); err != nil {
		t.Fatal(err)
	}
	if first.identity.StoreID == second.identity.StoreID || first.identity.StoreID.Validate() != nil {
		t.Errorf("store ids %q and %q", first.identity.StoreID, second.identity.StoreID)
	}
	if err := first.settle(testView(t, 1, 1, "n0")); err != nil {
		t.Error(err)
	}
}

func TestFolderBelongsToOneCluster(t *testing.T) {
	path := t.TempDir()
	reopen := func() *folder {
		f, err := openFolder(path, "n0", layoutPlain)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := reopen()
	if err := f.settle(testView(t, 1, 1, "n0")); err != nil {
		t.Fatal(err)
	}
	f.close()
	f = reopen()
	defer f.close()
	if err := f.settle(testView(t, 9, 1, "n0")); err != nil {
		t.Errorf("its own cluster: %v", err)
	}
	wider, rekeyed := testSettings(), testSettings()
	wider.SlotBits++
	rekeyed.HashKey = strings.Repeat("0", 32)
	for name, settings := range map[string]api.Settings{"slots": wider, "hash key": rekeyed} {
		if err := f.settle(testViewOf(t, settings, testCluster, 1, 1, "n0")); !errors.Is(err, ErrForeignFolder) {
			t.Errorf("other %s: %v", name, err)
		}
	}
	err := f.settle(testViewOf(t, testSettings(), otherCluster, 1, 1, "n0"))
	if !errors.Is(err, ErrForeignFolder) || !strings.Contains(err.Error(), string(otherCluster)) {
		t.Errorf("other cluster: %v", err)
	}
}

func TestFolderKeepsTheRing(t *testing.T) {
	f, err := openFolder(t.TempDir(), "n0", layoutPlain)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if view, err := f.keptView(); view != nil || err != nil {
		t.Errorf("an empty folder has %v, %v", view, err)
	}
	view := testView(t, 3, 2, "n1")
	if err := f.keepView(view); err != nil {
		t.Fatal(err)
	}
	if kept, err := f.keptView(); kept != nil || err != nil {
		t.Errorf("a folder without a cluster has %v, %v", kept, err)
	}
	if err := f.settle(view); err != nil {
		t.Fatal(err)
	}
	kept, err := f.keptView()
	if err != nil || kept.Table.Digest() != view.Table.Digest() {
		t.Errorf("kept %v, %v", kept, err)
	}
	if err := os.WriteFile(f.file(viewName), view.Encode()[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.keptView(); err == nil {
		t.Error("half a ring was read")
	}
}

func TestIdentityThatCannotBeRead(t *testing.T) {
	run := func(content, want string) {
		t.Helper()
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, identityName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openFolder(path, "n0", layoutPlain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
	run(``, "cannot read store.json")
	run(`{"layout":1`, "cannot read store.json")
	run(`{"layout":1,"node":"n0","store_id":"x","boot":3}`, "store id")
	run(`{"layout":3}`, "layout 3")
}

// TestFolderOfSlots: a folder without slots becomes one with, and never the other way round; entries that an
// earlier key-value node kept without a log are not passed over.
func TestFolderOfSlots(t *testing.T) {
	reopen := func(path string, layout int) *folder {
		f, err := openFolder(path, "n0", layout)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	path := t.TempDir()
	f := reopen(path, layoutPlain)
	if err := f.settle(testView(t, 1, 1, "n0")); err != nil {
		t.Fatal(err)
	}
	f.close()

	f = reopen(path, layoutSlots)
	if err := f.settle(testViewOf(t, testSettings(), otherCluster, 1, 1, "n0")); !errors.Is(err, ErrForeignFolder) {
		t.Errorf("another cluster's: %v", err)
	}
	if err := f.settle(testView(t, 1, 1, "n0")); err != nil || f.identity.Home.State != api.StateNone {
		t.Errorf("%v, home %+v", err, f.identity.Home)
	}
	managed := testSettings()
	managed.State = api.StateManaged
	if err := f.settle(testViewOf(t, managed, testCluster, 1, 1, "n0")); err == nil || !strings.Contains(err.Error(), "state") {
		t.Errorf("another state: %v", err)
	}
	f.close()
	if _, err := openFolder(path, "n0", layoutPlain); !errors.Is(err, ErrForeignFolder) {
		t.Errorf("without a service: %v", err)
	}

	former := t.TempDir()
	reopen(former, layoutPlain).close()
	if err := os.Mkdir(filepath.Join(former, formerKV), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(former, "n0", layoutSlots); err == nil || !strings.Contains(err.Error(), "empty folder") {
		t.Errorf("with entries from before: %v", err)
	}
	reopen(former, layoutPlain).close()
}
