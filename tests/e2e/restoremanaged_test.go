//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// rearrange has every slot of n1 change hands, and others come back to it; it returns what was written meanwhile.
func rearrange(t *testing.T, c *cluster.Cluster) (keys [][]byte) {
	t.Helper()
	stead(t, c, "nodes", "drain", "n1")
	awaitMoved(t, c, "n1", func(slots int) bool { return slots == 0 })
	keys = put(t, c, "drained", 100)
	stead(t, c, "nodes", "undrain", "n1")
	awaitMoved(t, c, "n1", func(slots int) bool { return slots > 0 })
	awaitWhole(t, c, 2)
	return append(keys, put(t, c, "undrained", 100)...)
}

// awaitOnly waits until slots wait for one node's report alone, and checks that they are not served before.
func awaitOnly(t *testing.T, c *cluster.Cluster, id string, key []byte) {
	t.Helper()
	c.Await("the others to have reported", func(ctx context.Context) bool {
		shown, err := c.Client.Cluster(ctx)
		return err == nil && shown.Recovering > 0 && strings.Contains(strings.Join(shown.Alarms, "\n"), "for the report of "+id+";")
	})
	if got := must(t, http.MethodGet, "http://"+c.ProxyAddrs[0]+"/kv/"+string(key), nil, "Stead-Deadline", "200ms"); got.status != http.StatusServiceUnavailable {
		t.Errorf("while %s has not reported: %d %s", id, got.status, got.body)
	}
}

// TestRestoreOfReplicatedSlots: slots moved after the snapshot was taken, and one node is away when it is put
// back. Nobody serves until that one has told what it knows; then every write is there.
func TestRestoreOfReplicatedSlots(t *testing.T) {
	t.Parallel()
	f := func(name string, crash func(c *cluster.Cluster), back func(c *cluster.Cluster)) {
		t.Run(name, func(t *testing.T) {
			c := managed(t, 2, 3, 256)
			keys := put(t, c, "early", 100)
			file := filepath.Join(t.TempDir(), "stead.snapshot")
			stead(t, c, "snapshot", "save", file)
			keys = append(keys, rearrange(t, c)...)
			crash(c)
			stead(t, c, "snapshot", "restore", file, "--yes")
			back(c)
			awaitOnly(t, c, "n3", keys[0])
			c.Nodes[2].Start()
			t.Logf("recovered %v after the last node was back", awaitRecovered(c))
			c.AwaitConverged()
			mustHave(t, c, keys)
			awaitWhole(t, c, 2)
			mustHave(t, c, append(keys, put(t, c, "after", 20)...))
			if history := stead(t, c, "ring", "history"); !strings.Contains(history, "restore") || !strings.Contains(history, "lossy") {
				t.Errorf("history says\n%s", history)
			}
		})
	}
	f("one node away", func(c *cluster.Cluster) { c.Nodes[2].Kill() }, func(*cluster.Cluster) {})
	f("all nodes restarted", func(c *cluster.Cluster) {
		for _, node := range c.Nodes {
			node.Kill()
		}
	}, func(c *cluster.Cluster) {
		c.Nodes[0].Start()
		c.Nodes[1].Start()
	})
}

// TestRecoverOfReplicatedSlots: owners serve on while two of three members are lost for good, and what they
// took meanwhile is there when the third goes on alone.
func TestRecoverOfReplicatedSlots(t *testing.T) {
	t.Parallel()
	c := managed(t, 2, 3, 256)
	keys := append(put(t, c, "before", 50), rearrange(t, c)...)
	for _, member := range c.Members {
		member.Kill()
	}
	keys = append(keys, put(t, c, "alone", 50)...)
	output, err := exec.Command(cluster.Binary(t), "control", "recover", "--name", "c3", "--data-dir", c.Folder("c3"), "--yes").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	c.Members[2].Start()
	c.Await("the one that is left to lead", func(ctx context.Context) bool {
		shown, err := c.Client.Cluster(ctx)
		return err == nil && shown.Leader != "" && shown.Version.Generation == 2
	})
	t.Logf("recovered after %v", awaitRecovered(c))
	c.AwaitConverged()
	mustHave(t, c, keys)
	awaitWhole(t, c, 2)
	mustHave(t, c, append(keys, put(t, c, "after", 20)...))
	node, err := c.Client.Node(t.Context(), "n1")
	if err != nil || node.Status != api.NodeUp {
		t.Errorf("n1: %+v, %v", node, err)
	}
}
