//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// Load that must not be harmed.
const (
	unharmedKeys  = 48
	unharmedEvery = 50 * time.Millisecond
)

// TestRollingRestart: every process is restarted, one after another, under load: no error, nothing lost.
func TestRollingRestart(t *testing.T) {
	c := managed(t, 2, 3, 256)
	load := startSteady(t, c, hardy, keysOf(t, c, "", unharmedKeys), unharmedEvery)
	for i, member := range c.Members {
		member.Stop()
		member.Start()
		c.Await(fmt.Sprintf("member %d to be ready", i+1), readyAt(c.APIs[i]))
	}
	for i, proxy := range c.Proxies {
		proxy.Stop()
		proxy.Start()
		c.AwaitProxy(i)
	}
	for i, node := range c.Nodes {
		node.Stop()
		node.Start()
		c.Await(fmt.Sprintf("node %d to be ready", i+1), readyAt(c.NodeAddrs[i]))
		awaitWhole(t, c, 2)
	}
	load.end()
	load.flawless(t, 1000)
}

// readyAt asks the process at an address whether it serves.
func readyAt(address string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		got, err := try(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		return err == nil && got.status == http.StatusOK
	}
}

// TestOwnersOutliveControlPlane: the control plane is gone for a while. Reads and writes go on without an error.
func TestOwnersOutliveControlPlane(t *testing.T) {
	c := managed(t, 2, 3, 256)
	load := startSteady(t, c, hardy, keysOf(t, c, "", unharmedKeys), unharmedEvery)
	for _, member := range c.Members {
		member.Kill()
	}
	pause(time.Duration(long(10, 60)) * time.Second)
	for _, member := range c.Members {
		member.Start()
	}
	c.Leader()
	awaitWhole(t, c, 2)
	load.end()
	load.flawless(t, 1000)
}

// TestWipedWhileMoving: a node loses its disk while another is drained. Every acknowledged write is readable.
func TestWipedWhileMoving(t *testing.T) {
	t.Parallel()
	c := managed(t, 2, 4, 256)
	keys := keysOf(t, c, "", 200)
	for _, key := range keys {
		if got := must(t, http.MethodPut, kvURL(c.ProxyAddrs[0], key), key); got.status != http.StatusCreated {
			t.Fatalf("PUT %s: %d %s", key, got.status, got.body)
		}
	}
	if _, err := c.Client.Drain(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	c.Nodes[1].Kill()
	if err := os.RemoveAll(c.Folder("n2")); err != nil {
		t.Fatal(err)
	}
	c.Nodes[1].Start(append(c.Nodes[1].Args(), "--replace")...)
	awaitMoved(t, c, "n1", func(slots int) bool { return slots == 0 })
	awaitWhole(t, c, 2)
	for i, key := range keys {
		if got := must(t, http.MethodGet, kvURL(c.ProxyAddrs[i%2], key), nil); got.status != http.StatusOK || string(got.body) != string(key) {
			t.Errorf("%s was acknowledged and is %d %s", key, got.status, got.body)
		}
	}
}

// idleMemoryMax is how much a node may hold in memory that has 4,096 slots and no data, in kB.
const idleMemoryMax = 200 << 10

// TestIdleMemory: 4,096 idle slots on a node are cheap.
func TestIdleMemory(t *testing.T) {
	c := managed(t, 2, 2, 1<<api.SlotBitsDefault)
	pause(3 * time.Second) // of garbage from the start being collected
	for i, node := range c.Nodes {
		resident := residentKB(t, node)
		t.Logf("node %d: %d kB", i+1, resident)
		if resident > idleMemoryMax {
			t.Errorf("node %d holds %d kB, limit %d", i+1, resident, idleMemoryMax)
		}
	}
}

func residentKB(t *testing.T, process *cluster.Process) (kB int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.PID()))
	if err != nil {
		t.Skipf("cannot tell a process's memory here: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kB); err == nil {
			return kB
		}
	}
	t.Fatalf("no VmRSS in %s", status)
	return 0
}

const (
	historyVersions  = 10_000
	historyMemoryMax = 150 << 10 // kB that a member may hold with as many versions to tell of
)

// TestHistoryMemory: a long history is cheap. Its versions are those of slots that move to and fro.
func TestHistoryMemory(t *testing.T) {
	if !longRun {
		t.Skip("it takes minutes: make e2e-long")
	}
	c := managed(t, 1, 3, 1<<api.SlotBitsDefault)
	for kept := 0; kept < historyVersions; {
		stead(t, c, "nodes", "drain", "n1")
		stead(t, c, "nodes", "undrain", "n1")
		awaitMoved(t, c, "n1", func(slots int) bool { return slots > 0 })
		awaitWhole(t, c, 1)
		list, err := c.Client.Versions(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		kept = int(list.Versions[0].Version.Number - list.Oldest.Number)
		t.Logf("%d versions", kept)
	}
	for i, member := range c.Members {
		resident := residentKB(t, member)
		t.Logf("member %d: %d kB", i+1, resident)
		if resident > historyMemoryMax {
			t.Errorf("member %d holds %d kB, limit %d", i+1, resident, historyMemoryMax)
		}
	}
}
