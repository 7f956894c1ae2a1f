//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// TestLeaderKilled: kill -9 of the Raft leader, twenty times. A registration succeeds within a second
// (median), and no version is lost, repeated or reordered.
func TestLeaderKilled(t *testing.T) {
	const kills = 20
	c := cluster.Start(t, cluster.Options{Members: 3})
	var outages []time.Duration
	var last api.Version
	acknowledged := map[api.NodeID]api.ChangeID{}
	for round := range kills {
		leader := c.Leader()
		c.Members[leader].Kill()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
		id := api.NodeID(fmt.Sprintf("n%d", round))
		answer, err := c.Client.Register(ctx, api.Registration{
			ID: id, Address: fmt.Sprintf("127.0.0.1:%d", 2000+round), Lease: api.LeaseNone,
		})
		cancel()
		if err != nil {
			t.Fatalf("kill %d: %v", round, err)
		}
		outages = append(outages, time.Since(start))
		if answer.Version.Compare(last) <= 0 {
			t.Fatalf("kill %d: version %s after %s", round, answer.Version, last)
		}
		last = answer.Version
		acknowledged[id] = answer.Change
		c.Members[leader].Start()
		c.Await("the killed member", func(ctx context.Context) bool {
			cluster, err := c.Client.Cluster(ctx)
			alive := 0
			for _, member := range cluster.Members {
				if member.Alive {
					alive++
				}
			}
			return err == nil && alive == 3
		})
	}
	within(t, "leader killed to first write, median of 20", median(outages), time.Second)
	checkHistory(t, c, acknowledged)
}

// TestLeaderFrozen: a leader that hangs holds up no request sent through another member for longer than
// it takes to elect its successor.
func TestLeaderFrozen(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3})
	for round := range 3 {
		leader := c.Leader()
		follower := (leader + 1) % 3
		c.Members[leader].Signal(syscall.SIGSTOP)
		start := time.Now()
		c.Await("a read through a follower", func(ctx context.Context) bool {
			got, err := try(ctx, "GET", "http://"+c.APIs[follower]+"/v1/nodes", nil)
			return err == nil && got.status == http.StatusOK
		})
		within(t, "leader frozen to read through a follower", time.Since(start), 2*time.Second)
		body := fmt.Appendf(nil, `{"id":"n%d","address":"127.0.0.1:%d","lease":"none"}`, round, 2000+round)
		c.Await("a write through a follower", func(ctx context.Context) bool {
			got, err := try(ctx, "POST", "http://"+c.APIs[follower]+"/v1/nodes", body)
			return err == nil && got.status/100 == 2
		})
		within(t, "leader frozen to write through a follower", time.Since(start), 3*time.Second)
		c.Members[leader].Signal(syscall.SIGCONT)
		c.Await("the woken member to follow", func(ctx context.Context) bool {
			got, err := try(ctx, "GET", "http://"+c.APIs[leader]+"/readyz", nil)
			return err == nil && got.status == http.StatusOK
		})
	}
}

// checkHistory: versions and changes are numbered without gaps, every registration that was
// acknowledged is there, and all members tell the same.
func checkHistory(t *testing.T, c *cluster.Cluster, acknowledged map[api.NodeID]api.ChangeID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	versions, err := c.Client.Versions(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, version := range versions.Versions {
		if want := versions.Versions[0].Version.Number - uint64(i); version.Version.Number != want {
			t.Fatalf("version %d stands where %d should", version.Version.Number, want)
		}
	}
	changes, err := c.Client.Changes(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[api.ChangeID]api.Change{}
	for _, change := range changes.Changes {
		byID[change.ID] = change
	}
	for id, change := range acknowledged {
		if byID[change].Node != id {
			t.Errorf("change %d is %q, was acknowledged as register %s", change, byID[change].Cause, id)
		}
	}
	for i := range c.APIs {
		c.Await("all members to tell the same", func(ctx context.Context) bool {
			got, err := try(ctx, "GET", "http://"+c.APIs[i]+"/v1/ring/versions?limit=1000&consistency=stale", nil)
			var list api.VersionList
			return err == nil && json.Unmarshal(got.body, &list) == nil && len(list.Versions) > 0 && list.Versions[0] == versions.Versions[0]
		})
	}
}

// TestMembersComeBackElsewhere: all three members stopped and started on other ports have the same
// history, by themselves.
func TestMembersComeBackElsewhere(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3})
	c.Static("n1", "127.0.0.1:2001")
	c.Await("slots", func(ctx context.Context) bool {
		cluster, err := c.Client.Cluster(ctx)
		return err == nil && cluster.Unassigned == 0
	})
	history := func() (changes api.ChangeList, versions api.VersionList) {
		ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
		defer cancel()
		changes, err := c.Client.Changes(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if versions, err = c.Client.Versions(ctx, 0, 1000); err != nil {
			t.Fatal(err)
		}
		return changes, versions
	}
	changesBefore, versionsBefore := history()
	c.RestartMembersElsewhere()
	changesAfter, versionsAfter := history()
	same(t, changesBefore, changesAfter)
	same(t, versionsBefore, versionsAfter)
}

func same(t *testing.T, before, after any) {
	t.Helper()
	was, errWas := json.Marshal(before)
	is, errIs := json.Marshal(after)
	if errWas != nil || errIs != nil || string(was) != string(is) {
		t.Fatalf("history was\n%s\nand is\n%s", was, is)
	}
}

// TestControlPlaneDown: proxies keep routing without the control plane, one restarted then routes from
// its disk, and they converge when it is back.
func TestControlPlaneDown(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 2})
	for i := range 50 {
		if got := must(t, "PUT", kvURL(c.ProxyAddrs[i%2], keyNumber(i)), []byte("value")); got.status != http.StatusCreated {
			t.Fatalf("PUT %d: %d %s", i, got.status, got.body)
		}
	}
	for _, member := range c.Members {
		member.Kill()
	}
	readAll := func(when string) {
		t.Helper()
		for i := range 50 {
			for _, proxy := range c.ProxyAddrs {
				if got := must(t, "GET", kvURL(proxy, keyNumber(i)), nil); got.status != http.StatusOK || string(got.body) != "value" {
					t.Fatalf("%s: GET %d: %d %s", when, i, got.status, got.body)
				}
			}
		}
	}
	readAll("control plane down")
	c.Proxies[0].Kill()
	c.Proxies[0].Start()
	c.Await("the proxy to start from its disk", func(ctx context.Context) bool {
		got, err := try(ctx, "GET", "http://"+c.AdminAddrs[0]+"/readyz", nil)
		return err == nil && got.status == http.StatusOK
	})
	readAll("proxy restarted without a control plane")
	c.Nodes[0].Kill()
	c.Nodes[0].Start()
	c.Await("the node to start from its disk", func(ctx context.Context) bool {
		for i := range 50 {
			got, err := try(ctx, "GET", kvURL(c.ProxyAddrs[1], keyNumber(i)), nil)
			if err != nil || got.status != http.StatusOK {
				return false
			}
		}
		return true
	})
	readAll("node restarted without a control plane")
	for _, member := range c.Members {
		member.Start()
	}
	c.AwaitConverged()
	c.Static("late", "127.0.0.1:2001")
	c.AwaitConverged()
}
