//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// curl runs curl as a person would.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := exec.Command("curl", append([]string{"-sS", "--fail"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// TestByHand: three of Python's web servers registered with curl; what the commands say agrees with
// the API.
func TestByHand(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, ControlArgs: []string{"--state", "none"}})
	folders := map[string]string{}
	for i := range 3 {
		id, address, folder := fmt.Sprintf("web%d", i+1), cluster.FreeAddress(t), t.TempDir()
		folders[id] = folder
		if err := os.WriteFile(filepath.Join(folder, "who"), []byte(id), 0o600); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(address)
		cluster.Run(t, id, "python3", "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", folder)
		c.Await("python to serve", func(ctx context.Context) bool {
			got, err := try(ctx, "GET", "http://"+address+"/who", nil)
			return err == nil && got.status == http.StatusOK
		})
		curl(t, "-X", "POST", "http://"+c.APIs[i]+"/v1/nodes", "-d",
			fmt.Sprintf(`{"id":%q,"address":%q,"lease":"none","check":{"http":"/who","interval":"200ms"}}`, id, address))
	}
	c.AwaitAssigned()
	c.AwaitConverged()
	for i := range 30 {
		key := fmt.Sprintf("tenant-%d", i)
		var location api.Location
		mustDecode(t, curl(t, "http://"+c.APIs[i%3]+"/v1/ring/locate?key="+key), &location)
		var located, explained api.Location
		mustDecode(t, stead(t, c, "ring", "locate", key, "-o", "json"), &located)
		mustDecode(t, stead(t, c, "explain", "-H", "X-Shard-Key: "+key, "GET", "/who", "-o", "json"), &explained)
		same(t, location, located)
		same(t, location, explained)
		got := must(t, "GET", "http://"+c.ProxyAddrs[0]+"/who", nil, "X-Shard-Key", key)
		if got.status != http.StatusOK || string(got.body) != string(location.Replicas[0].ID) {
			t.Fatalf("%s was served by %d %s, located on %s", key, got.status, got.body, location.Replicas[0].ID)
		}
	}
	var changes, printed api.ChangeList
	mustDecode(t, curl(t, "http://"+c.APIs[0]+"/v1/ring/changes"), &changes)
	mustDecode(t, stead(t, c, "ring", "history", "-o", "json"), &printed)
	same(t, changes.Changes, printed.Changes)
	first, last := changes.Changes[len(changes.Changes)-1], changes.Changes[0]
	var diff, shown api.RingDiff
	from, to := fmt.Sprintf("c%d", first.ID), fmt.Sprintf("c%d", last.ID)
	mustDecode(t, curl(t, "http://"+c.APIs[2]+"/v1/ring/diff?from="+from+"&to="+to), &diff)
	mustDecode(t, stead(t, c, "ring", "diff", from, to, "-o", "json"), &shown)
	same(t, diff, shown)
	if diff.Moved != 4096 || len(diff.Nodes) != 3 {
		t.Errorf("%d slots and %d nodes differ", diff.Moved, len(diff.Nodes))
	}
	for _, table := range [][]string{{"ring", "history"}, {"ring", "show"}, {"ring", "diff", from, to}, {"nodes"}, {"cluster", "show"}, {"proxies"}, {"ring", "history", "--versions"}} {
		t.Logf("stead %s\n%s", strings.Join(table, " "), stead(t, c, table...))
	}
}

func mustDecode(t *testing.T, text string, target any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), target); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

// TestBeatLoops: the ten-line loops of the docs keep a node up in a real cluster, and their end is
// noticed.
func TestBeatLoops(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3})
	loops := map[string][]string{
		"python": {"python3", "../../examples/beat/beat.py"},
		"node":   {"node", "../../examples/beat/beat.mjs"},
	}
	for id, command := range loops {
		process := cluster.Run(t, id, command[0], command[1], "http://"+c.APIs[0], id, cluster.FreeAddress(t))
		status := func(want api.NodeStatus) func(context.Context) bool {
			return func(ctx context.Context) bool {
				node, err := c.Client.Node(ctx, api.NodeID(id))
				return err == nil && node.Status == want && (want != api.NodeUp || node.LastBeat != nil)
			}
		}
		c.Await(id+" to be up", status(api.NodeUp))
		process.Kill()
		c.Await(id+" to be down", status(api.NodeDown))
	}
}

// TestSidecar: any HTTP server behind the sidecar is registered, checked, guarded and drained.
func TestSidecar(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1})
	folder, upstream, listen := t.TempDir(), cluster.FreeAddress(t), cluster.FreeAddress(t)
	for _, file := range []string{"page", "healthz"} {
		if err := os.WriteFile(filepath.Join(folder, file), []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(upstream)
	sidecar := cluster.Run(t, "sidecar", cluster.Binary(t), "sidecar", "--id", "web", "--listen", listen, "--control", c.APIs[0],
		"--upstream", upstream, "--health", "/healthz", "--on-down", "reset", "--data-dir", t.TempDir(),
		"--", "python3", "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", folder)
	c.Await("the page through the proxy", func(ctx context.Context) bool {
		got, err := try(ctx, "GET", "http://"+c.ProxyAddrs[0]+"/page", nil, "X-Shard-Key", "k")
		return err == nil && got.status == http.StatusOK && string(got.body) == "hello"
	})
	if got := must(t, "GET", "http://"+listen+"/page", nil); got.status != http.StatusBadRequest {
		t.Errorf("past the proxy, without a key: %d %s", got.status, got.body)
	}
	if err := os.Remove(filepath.Join(folder, "healthz")); err != nil {
		t.Fatal(err)
	}
	c.Await("the unhealthy service to be down", func(ctx context.Context) bool {
		node, err := c.Client.Node(ctx, "web")
		return err == nil && node.Status == api.NodeDown
	})
	sidecar.Stop()
	if conn, err := net.Dial("tcp", upstream); err == nil {
		_ = conn.Close()
		t.Error("the command outlived its sidecar")
	}
}
