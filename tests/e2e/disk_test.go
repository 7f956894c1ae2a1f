//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// TestLeaderDiskFull: the leader's disk fills up. Another member leads within moments, nothing that was
// acknowledged is lost, the full one says that it is not ready, and follows again once there is room.
func TestLeaderDiskFull(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, MemberDisk: "16m"})
	full := c.Leader()
	registered := map[api.NodeID]bool{}
	register := func(count int) (longest time.Duration) {
		for range count {
			id := api.NodeID(fmt.Sprintf("n%d", len(registered)))
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
			_, err := c.Client.Register(ctx, api.Registration{
				ID: id, Address: fmt.Sprintf("127.0.0.1:%d", 2000+len(registered)), Lease: api.LeaseNone, Nonce: string(id),
			})
			cancel()
			if err != nil {
				t.Fatalf("register %s: %v", id, err)
			}
			registered[id] = true
			longest = max(longest, time.Since(start))
		}
		return longest
	}
	register(20)
	cluster.FillDisk(t, c.MemberDir(full))
	within(t, "longest write while the leader's disk fills up", register(300), 5*time.Second)
	if leader := c.Leader(); leader == full {
		t.Error("the member with the full disk still leads")
	}
	ready := func(ctx context.Context, i int) int {
		got, _ := try(ctx, "GET", "http://"+c.APIs[i]+"/readyz", nil)
		return got.status
	}
	c.Await("the full member to say that it is not ready", func(ctx context.Context) bool {
		return ready(ctx, full) == http.StatusServiceUnavailable
	})
	cluster.FreeDisk(t, c.MemberDir(full))
	c.Await("the member to follow again", func(ctx context.Context) bool { return ready(ctx, full) == http.StatusOK })
	for i := range c.APIs {
		c.Await("every member to hold all that was acknowledged", func(ctx context.Context) bool {
			got, err := try(ctx, "GET", "http://"+c.APIs[i]+"/v1/nodes?consistency=stale", nil)
			var list api.NodeList
			return err == nil && json.Unmarshal(got.body, &list) == nil && len(list.Nodes) == len(registered)
		})
	}
}

// TestAllDisksFull: with no room on any member nothing is acknowledged, and nothing needs a restart when
// there is room again.
func TestAllDisksFull(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, MemberDisk: "16m"})
	c.Static("before", "127.0.0.1:2001")
	for i := range c.Members {
		cluster.FillDisk(t, c.MemberDir(i))
	}
	var created atomic.Int32
	var asking sync.WaitGroup
	for i := range 200 { // what is left of pages already written may take some
		asking.Go(func() { // all at once: each may wait for a leader
			body := fmt.Appendf(nil, `{"id":"n%d","address":"127.0.0.1:%d","lease":"none"}`, i, 3000+i)
			got, err := try(t.Context(), "POST", "http://"+c.APIs[i%3]+"/v1/nodes", body)
			switch {
			case err != nil:
				t.Error(err)
			case got.status == http.StatusCreated:
				created.Add(1)
			case got.status != http.StatusServiceUnavailable:
				t.Errorf("a full disk answers %d %s", got.status, got.body)
			}
		})
	}
	asking.Wait()
	acknowledged := int(created.Load())
	if acknowledged == 200 {
		t.Fatal("the disks were not full")
	}
	for i := range c.Members {
		cluster.FreeDisk(t, c.MemberDir(i))
	}
	c.Static("after", "127.0.0.1:2002")
	nodes, err := c.Client.Nodes(t.Context())
	if err != nil || len(nodes.Nodes) < acknowledged+2 {
		t.Fatalf("%d nodes, %v; %d were acknowledged", len(nodes.Nodes), err, acknowledged+2)
	}
}
