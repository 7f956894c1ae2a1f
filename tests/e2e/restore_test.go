//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/tests/cluster"
)

// steadFails runs a command that must fail, and returns what it said.
func steadFails(t *testing.T, args ...string) string {
	t.Helper()
	output, err := exec.Command(cluster.Binary(t), args...).CombinedOutput()
	if err == nil {
		t.Fatalf("stead %v succeeded: %s", args, output)
	}
	return string(output)
}

// put writes values under keys whose value is the key, whoever serves them now.
func put(t *testing.T, c *cluster.Cluster, prefix string, count int) (keys [][]byte) {
	t.Helper()
	for i := range count {
		key := fmt.Appendf(nil, "%s-%d", prefix, i)
		if got := must(t, "PUT", kvURL(c.ProxyAddrs[0], key), key); got.status != http.StatusCreated && got.status != http.StatusNoContent {
			t.Fatalf("%s: %d %s", key, got.status, got.body)
		}
		keys = append(keys, key)
	}
	return keys
}

// mustHave reads every key, through each proxy.
func mustHave(t *testing.T, c *cluster.Cluster, keys [][]byte) {
	t.Helper()
	for i := range c.Proxies {
		for _, key := range keys {
			if got := must(t, "GET", kvURL(c.ProxyAddrs[i], key), nil); got.status != http.StatusOK || string(got.body) != string(key) {
				t.Fatalf("proxy %d, %s: %d %s", i, key, got.status, got.body)
			}
		}
	}
}

// awaitRecovered waits until no slot waits for a report.
func awaitRecovered(c *cluster.Cluster) time.Duration {
	return c.Await("the slots to recover", func(ctx context.Context) bool {
		shown, err := c.Client.Cluster(ctx)
		return err == nil && shown.Recovering == 0 && shown.Unassigned == 0
	})
}

// probe reads one key over and over, until it is told to stop; it answers the longest time without success.
func probe(ctx context.Context, target string) (longest time.Duration) {
	last := time.Now()
	for ctx.Err() == nil {
		if got, err := try(context.WithoutCancel(ctx), "GET", target, nil); err == nil && got.status == http.StatusOK {
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
	}
	return longest
}

// TestRestoreOverANewerState: slots moved and nodes joined after the snapshot was taken. Nothing that
// was written is lost, and for whoever watches versions only rise.
func TestRestoreOverANewerState(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3})
	early := put(t, c, "early", 100)
	file := filepath.Join(t.TempDir(), "stead.snapshot")
	stead(t, c, "snapshot", "save", file)
	if said := steadFails(t, "snapshot", "save", file, "--control", c.APIs[0]); !strings.Contains(said, "--force") {
		t.Errorf("over a file: %s", said)
	}
	before, err := c.Client.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.AddNode()
	c.AwaitAssigned()
	stead(t, c, "ring", "rebalance")
	c.AwaitConverged()
	moved, err := c.Client.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late := put(t, c, "late", 200)
	var kept, atNew [][]byte
	for _, key := range early {
		if _, _, owner, _ := before.Locate(key); func() bool { _, _, now, _ := moved.Locate(key); return now.ID == owner.ID }() {
			kept = append(kept, key)
		}
	}
	for _, key := range late {
		if _, _, owner, _ := moved.Locate(key); owner.ID == "n4" {
			atNew = append(atNew, key)
		}
	}
	if len(kept) == 0 || len(atNew) == 0 {
		t.Fatalf("%d keys stayed, %d are at the new node", len(kept), len(atNew))
	}
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	outages := make([]time.Duration, 2)
	for i := range outages {
		watching.Go(func() { outages[i] = probe(ctx, kvURL(c.ProxyAddrs[i], [][]byte{kept[0], atNew[0]}[i])) })
	}
	var versions []api.Version
	watching.Go(func() {
		_ = c.Client.Watch(ctx, nil, func(view *ring.View) { versions = append(versions, view.Table.Version) })
	})
	var routed []api.Version
	watching.Go(func() {
		for ctx.Err() == nil {
			var shown struct{ Version api.Version }
			got, err := try(ctx, "GET", "http://"+c.AdminAddrs[0]+"/v1/ring", nil)
			if err == nil && json.Unmarshal(got.body, &shown) == nil {
				routed = append(routed, shown.Version)
			}
			pause(2 * time.Millisecond)
		}
	})
	pause(200 * time.Millisecond)
	t.Log(stead(t, c, "snapshot", "restore", file, "--yes"))
	took := awaitRecovered(c)
	c.AwaitConverged()
	pause(200 * time.Millisecond)
	stop()
	watching.Wait()
	t.Logf("all slots recovered %v after the restore; the longest without an answer: %v and, for a slot that had moved, %v", took, outages[0], outages[1])
	for i, outage := range outages {
		if outage > 2*time.Second {
			t.Errorf("proxy %d: %v without an answer", i, outage)
		}
	}
	for name, seen := range map[string][]api.Version{"a client": versions, "a proxy": routed} {
		for i := 1; i < len(seen); i++ {
			if seen[i].Compare(seen[i-1]) < 0 {
				t.Errorf("%s saw %s after %s", name, seen[i], seen[i-1])
			}
		}
		if len(seen) == 0 || seen[len(seen)-1].Generation != 2 {
			t.Errorf("%s saw %v", name, seen[max(0, len(seen)-3):])
		}
	}
	mustHave(t, c, append(kept, late...))
	if history := stead(t, c, "ring", "history"); !strings.Contains(history, "restore") || !strings.Contains(history, "lossy") {
		t.Errorf("history says\n%s", history)
	}
	cut := filepath.Join(t.TempDir(), "cut")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if said := steadFails(t, "snapshot", "inspect", cut); !strings.Contains(said, "cut short after") {
		t.Errorf("of half a snapshot: %s", said)
	}
	if said := steadFails(t, "snapshot", "restore", file, "--control", c.APIs[0]); !strings.Contains(said, "--yes") {
		t.Errorf("without a person: %s", said)
	}
}

// TestRestoreIntoAFreshCluster: the control plane is lost whole; a new one takes the newest of the
// snapshots that the old one saved by schedule, and the nodes come back to it with their data.
func TestRestoreIntoAFreshCluster(t *testing.T) {
	t.Parallel()
	saved := t.TempDir()
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1, Nodes: 2,
		ControlArgs: []string{"--snapshot-dir", saved, "--snapshot-every", "1s", "--snapshot-keep", "2"}})
	keys := put(t, c, "k", 50)
	for i := range 3 {
		c.Static(fmt.Sprintf("s%d", i), fmt.Sprintf("127.0.0.1:%d", 1+i))
		pause(1100 * time.Millisecond)
	}
	c.Await("the last change to be planned", func(ctx context.Context) bool {
		list, err := c.Client.Changes(ctx, 0, 1)
		return err == nil && list.Changes[0].Status == api.ChangeDone
	})
	pause(1100 * time.Millisecond)
	var files []string
	c.Await("the schedule to save the last state", func(context.Context) bool {
		files, _ = filepath.Glob(filepath.Join(saved, "*"))
		var facts api.SnapshotFacts
		return len(files) == 2 && json.Unmarshal([]byte(stead(t, c, "snapshot", "inspect", files[1], "-o", "json")), &facts) == nil && facts.Nodes == 5
	})
	pause(2 * time.Second)
	if now, _ := filepath.Glob(filepath.Join(saved, "*")); len(now) != 2 || now[1] != files[1] {
		t.Errorf("nothing changed and there are %v", now)
	}
	shown := stead(t, c, "snapshot", "inspect", files[1])
	view, err := c.Client.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(shown, view.Settings.HashKey) || !strings.Contains(shown, "OK") {
		t.Errorf("inspect shows\n%s", shown)
	}
	for _, process := range append(c.Nodes, c.Proxies[0], c.Members[0]) {
		process.Stop()
	}
	if err := os.RemoveAll(c.Folder("c1")); err != nil {
		t.Fatal(err)
	}
	c.Members[0].Start()
	c.Await("the new cluster", func(ctx context.Context) bool {
		cluster, err := c.Client.Cluster(ctx)
		return err == nil && cluster.Leader != "" && cluster.Cluster != view.Table.Cluster
	})
	c.AddProxy() // it knows the new cluster, and is to go on with what that becomes
	c.Await("the new proxy to route by the new cluster's ring", func(ctx context.Context) bool {
		list, err := c.Client.Proxies(ctx)
		return err == nil && len(list.Proxies) == 1 && list.Proxies[0].Version.Number > 0
	})
	stead(t, c, "snapshot", "restore", files[1], "--yes")
	for _, node := range c.Nodes {
		node.Start()
	}
	awaitRecovered(c)
	c.Proxies[0].Start()
	c.AwaitProxy(0)
	mustHave(t, c, keys)
}

// TestRecover: two of three members are lost. The third goes on alone; nodes and proxies follow it, and
// the two of old end by themselves when they come back.
func TestRecover(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, Nodes: 3})
	keys := put(t, c, "k", 100)
	for _, member := range c.Members {
		member.Kill()
	}
	recover := []string{"control", "recover", "--name", "c3", "--data-dir", c.Folder("c3")}
	run := func(args ...string) string {
		output, err := exec.Command(cluster.Binary(t), append(recover, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		return string(output)
	}
	if said := run("--dry-run"); !strings.Contains(said, "last index") || strings.Count(said, "c1-") != 1 {
		t.Errorf("a look: %s", said)
	}
	t.Log(run("--yes"))
	began := time.Now()
	c.Members[2].Start()
	c.Await("the one that is left to lead", func(ctx context.Context) bool {
		shown, err := c.Client.Cluster(ctx)
		return err == nil && shown.Leader != "" && shown.Version.Generation == 2
	})
	awaitRecovered(c)
	c.AwaitConverged()
	t.Logf("recovered %v after the start", time.Since(began))
	mustHave(t, c, keys)
	if said := steadFails(t, append(recover, "--yes")...); !strings.Contains(said, "another process") {
		t.Errorf("while it runs: %s", said)
	}
	for _, i := range []int{0, 1} {
		c.Members[i].Start()
	}
	for _, i := range []int{0, 1} {
		if code := c.Members[i].Ended(); code != 1 || !strings.Contains(c.Members[i].Output(), "recovered elsewhere") {
			t.Errorf("member %d of old ended with %d: %s", i, code, c.Members[i].Output())
		}
	}
	if err := os.RemoveAll(c.Folder("c1")); err != nil {
		t.Fatal(err)
	}
	c.Members[0].Start()
	stead(t, c, "members", "add", "c1") // wiped, it is a new member
	c.Await("the new member", func(ctx context.Context) bool {
		shown, err := c.Client.Cluster(ctx)
		return err == nil && len(shown.Members) == 2 && shown.Members[0].Voter && shown.Members[1].Voter
	})
	mustHave(t, c, put(t, c, "after", 20))
	mustHave(t, c, keys)
}
