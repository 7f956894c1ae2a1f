package nodesvc

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

// TestHungDiskDoesNotLookAlive: the node's beats say so while its disk hangs or fails, and it recovers by
// itself.
func TestHungDiskDoesNotLookAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		var hung, broken atomic.Bool
		release := make(chan struct{})
		var notes bytes.Buffer
		config := testConfig(control)
		config.DataDir = t.TempDir()
		config.Logger = slog.New(slog.NewTextHandler(&notes, nil))
		config.canaryWrite = func() error {
			if hung.Load() {
				<-release
			}
			if broken.Load() {
				return syscall.EROFS
			}
			return nil
		}
		node := openNode(t, config)
		defer closeNode(t, node)
		last := func() api.Beat { beats := control.beaten(); return beats[len(beats)-1] }

		pass(10 * time.Second)
		if got := control.history(); got != "register beat" || node.Ready() != nil {
			t.Fatalf("on a good disk: %s, %v", got, node.Ready())
		}
		hung.Store(true)
		pass(api.TTLDefault - 100*time.Millisecond)
		if last().Unhealthy != "" {
			t.Errorf("it complains of %q too early", last().Unhealthy)
		}
		pass(api.TTLDefault)
		if got := last().Unhealthy; !strings.HasPrefix(got, "the store's canary write has taken ") {
			t.Errorf("on a hung disk it complains of %q", got)
		}
		if problem := node.Ready(); problem == nil || problem.Code != api.CodeServiceUnhealthy || node.Stats().Canary < api.TTLDefault {
			t.Errorf("on a hung disk it is ready: %v, the write takes %v", problem, node.Stats().Canary)
		}
		healthy := control.count("beat")
		pass(time.Minute)
		if control.count("beat") != healthy || strings.Count(notes.String(), "canary write has taken") != 1 {
			t.Errorf("%d healthy beats in a minute of a hung disk; logged\n%s", control.count("beat")-healthy, notes.String())
		}
		hung.Store(false)
		close(release)
		pass(time.Second)
		if last().Unhealthy != "" || node.Ready() != nil {
			t.Errorf("when the disk came back: %q, %v", last().Unhealthy, node.Ready())
		}
		broken.Store(true)
		pass(time.Second)
		if got := last().Unhealthy; got != "the store's canary write failed: "+syscall.EROFS.Error() {
			t.Errorf("on a disk that refuses writes it complains of %q", got)
		}
		broken.Store(false)
		pass(time.Second)
		if got := control.history(); got != "register beat unhealthy beat unhealthy beat" {
			t.Errorf("in the end: %s", got)
		}
	})
}

func TestCanaryWritesInPlace(t *testing.T) {
	f := &folder{path: t.TempDir()}
	for range 3 {
		if err := f.writeCanary(); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(f.path, canaryName))
	if err != nil || len(raw) != 21 {
		t.Errorf("the file holds %q, %v", raw, err)
	}
	gone := &folder{path: filepath.Join(f.path, "gone")}
	if err := gone.writeCanary(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is gone: %v", err)
	}
}

func TestMemoryStoresHaveNoCanary(t *testing.T) {
	node := openNode(t, testConfig(newFakeControl(testView(t, 7, 5, "n0"))))
	defer closeNode(t, node)
	if node.canary.write != nil || node.canary.ailment(time.Now()) != "" {
		t.Error("a memory store tries a disk")
	}
}

// pass lets time go by, and everything that is due then happen.
func pass(while time.Duration) {
	time.Sleep(while)
	synctest.Wait()
}
