//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// load keeps reading keys through the proxies until stopped, and records the keys that failed.
type load struct {
	stop   context.CancelFunc
	all    sync.WaitGroup
	served atomic.Int64

	mu     sync.Mutex
	failed map[int][]string // by key, what came instead of 200 or 404
}

const loadKeys = 400

func startLoad(t *testing.T, proxies []string) *load {
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	l := &load{stop: stop, failed: map[int][]string{}}
	for worker := range 4 {
		l.all.Go(func() {
			for i := worker; ctx.Err() == nil; i++ {
				key := i % loadKeys
				got, err := try(ctx, "GET", kvURL(proxies[i%len(proxies)], keyNumber(key)), nil)
				if ctx.Err() != nil {
					return
				}
				if err != nil || got.status != http.StatusOK && got.status != http.StatusNotFound {
					l.mu.Lock()
					l.failed[key] = append(l.failed[key], fmt.Sprintf("%d %v %s", got.status, err, got.body))
					l.mu.Unlock()
				}
				l.served.Add(1)
			}
		})
	}
	return l
}

func (l *load) end() {
	l.stop()
	l.all.Wait()
}

// TestJoinUnderLoad: a fourth node that resets joins. Exactly the minimum of slots moves, and keys that
// did not move see no errors.
func TestJoinUnderLoad(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3, NodeArgs: []string{"--store=memory", "--on-down=reset"}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	before, err := c.Client.Ring(ctx)
	if err != nil {
		t.Fatal(err)
	}
	load := startLoad(t, c.ProxyAddrs)
	c.AddNode()
	c.Await("the fourth node to hold slots", func(ctx context.Context) bool {
		node, err := c.Client.Node(ctx, "n4")
		return err == nil && node.Slots > 0
	})
	c.AwaitConverged()
	time.Sleep(time.Second) // let the load see the ring that stands now
	load.end()
	diff, err := c.Client.Diff(ctx, before.Table.Version.String(), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff.Moved != 4096/4 {
		t.Errorf("%d slots moved, the minimum is %d", diff.Moved, 4096/4)
	}
	moved := map[api.Slot]bool{}
	for _, slot := range diff.Slots {
		moved[slot.Slot] = true
	}
	for key, failures := range load.failed {
		if !moved[before.Slot(keyNumber(key))] {
			t.Errorf("key %d did not move and failed: %v", key, failures)
		} else {
			t.Logf("key %d moved and failed: %v", key, failures)
		}
	}
	t.Logf("%d requests were served, %d keys failed", load.served.Load(), len(load.failed))
	if load.served.Load() < 200 {
		t.Error("too little load to mean anything")
	}
}

// TestCacheKilled: kill -9 of a node that resets, again and again. Others answer its keys within 3 s (median).
func TestCacheKilled(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, Nodes: 3, NodeArgs: []string{"--store=memory", "--on-down=reset"}})
	var outages []time.Duration
	for round := range long(5, 10) {
		victim := round % 3
		id := api.NodeID(fmt.Sprintf("n%d", victim+1))
		key := keyOn(t, c, id)
		c.Nodes[victim].Kill()
		outages = append(outages, c.Await("another node to answer", func(ctx context.Context) bool {
			got, err := try(ctx, "GET", kvURL(c.ProxyAddrs[0], key), nil)
			return err == nil && got.status == http.StatusNotFound
		}))
		c.Nodes[victim].Start()
		c.Await("the node to hold slots again", func(ctx context.Context) bool {
			node, err := c.Client.Node(ctx, id)
			return err == nil && node.Status == api.NodeUp && node.Slots > 0
		})
		c.AwaitConverged()
	}
	within(t, "cache killed to answered by another, median", median(outages), 3*time.Second)
}

// keyOn finds a key whose slot a node holds.
func keyOn(t *testing.T, c *cluster.Cluster, id api.NodeID) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	view, err := c.Client.Ring(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if _, _, node, ok := view.Locate(keyNumber(i)); ok && node.ID == id {
			return keyNumber(i)
		}
	}
	t.Fatalf("no key lives on %s", id)
	return nil
}

// TestStoreKilled: kill -9 of a node that waits. Its keys answer 503 with Retry-After, and have the same
// data when it is back.
func TestStoreKilled(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, Nodes: 2})
	key := keyOn(t, c, "n1")
	value := bytes.Repeat([]byte("state "), 1000)
	if got := must(t, "PUT", kvURL(c.ProxyAddrs[0], key), value); got.status != http.StatusCreated {
		t.Fatalf("PUT: %d %s", got.status, got.body)
	}
	c.Nodes[0].Kill()
	start := time.Now()
	for time.Since(start) < 5*time.Second {
		got := must(t, "GET", kvURL(c.ProxyAddrs[0], key), nil)
		if got.status != http.StatusServiceUnavailable && got.status != http.StatusBadGateway || got.header.Get("Retry-After") == "" {
			t.Fatalf("while its node is down: %d %v %s", got.status, got.header, got.body)
		}
	}
	c.Nodes[0].Start()
	c.Await("its data", func(ctx context.Context) bool {
		got, err := try(ctx, "GET", kvURL(c.ProxyAddrs[0], key), nil)
		return err == nil && got.status == http.StatusOK && bytes.Equal(got.body, value)
	})
	node, err := c.Client.Node(t.Context(), "n1")
	if err != nil || node.Slots != 2048 {
		t.Fatalf("it holds %d slots, had 2048 (%v)", node.Slots, err)
	}
}

// TestDrainAndLeave: an operator drains a node, and one that resets leaves by itself on SIGTERM.
func TestDrainAndLeave(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1, Nodes: 2, NodeArgs: []string{"--store=memory", "--on-down=reset"}})
	stead(t, c, "nodes", "drain", "n1")
	held := func(id api.NodeID, want int) {
		t.Helper()
		c.Await(fmt.Sprintf("%s to hold %d slots", id, want), func(ctx context.Context) bool {
			node, err := c.Client.Node(ctx, id)
			return err == nil && node.Slots == want
		})
	}
	held("n1", 0)
	held("n2", 4096)
	stead(t, c, "nodes", "undrain", "n1")
	held("n1", 2048)
	c.Nodes[0].Stop()
	c.Await("it to be gone", func(ctx context.Context) bool {
		_, err := c.Client.Node(ctx, "n1")
		return api.CodeOf(err) == api.CodeNodeUnknown
	})
	held("n2", 4096)
}
