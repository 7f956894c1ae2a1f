//go:build bench

package bench

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

var (
	watcherCounts = []int{1000, 5000}
	watchersMax   = flag.Int("watchers", 5000, "watchers at most")
	watchedForm   = flag.String("form", "", "only forms of the ring with this in their name")
	ringNodes     = flag.Int("ring-nodes", 100, "nodes of the ring that is watched")
)

const (
	changes = 20
	// changeSpacing keeps changes out of the window in which a member gathers them.
	changeSpacing = 150 * time.Millisecond
	arrivalsWait  = 20 * time.Second
)

// TestWatchers prints how long a change of the ring takes to reach every watcher whole: from the
// moment it is asked for, and from the moment it is answered as committed and planned.
func TestWatchers(t *testing.T) {
	needDescriptors(t, 2*watcherCounts[len(watcherCounts)-1])
	c := cluster.Start(t, cluster.Options{Members: 3, ControlArgs: []string{"--plan-delay", "500ms"}})
	registerStatic(t, c, *ringNodes)
	var table figures
	table.add("watchers", "form", "octets", "p50 asked", "p99 asked", "max", "p50 answered", "p99 answered", "members' CPU", "load's CPU")
	for _, count := range watcherCounts {
		for _, form := range forms {
			if count <= *watchersMax && strings.Contains(form.name, *watchedForm) {
				watched(t, c, count, form, &table)
			}
		}
	}
	table.print(fmt.Sprintf("A change of weight to all watchers of three members, ring of %d nodes, %d changes each; milliseconds, cores", *ringNodes, changes))
}

// registerStatic lists nodes that hold slots and send no beats.
func registerStatic(t *testing.T, c *cluster.Cluster, count int) {
	t.Helper()
	for i := range count {
		_, err := c.Client.Register(t.Context(), api.Registration{
			ID: api.NodeID(fmt.Sprintf("node-%05d", i)), Address: fmt.Sprintf("10.%d.%d.%d:7500", i>>16, i>>8&255, i&255),
			Lease: api.LeaseNone, OnDown: api.OnDownReset,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Await("a plan of all nodes", func(ctx context.Context) bool {
		state, err := c.Client.Cluster(ctx)
		if err != nil || state.Unassigned > 0 {
			return false
		}
		change, err := c.Client.Change(ctx, state.Change)
		return err == nil && change.Status == api.ChangeDone
	})
}

// watched runs one load: count watchers of one form, and changes for them to see.
func watched(t *testing.T, c *cluster.Cluster, count int, form form, table *figures) {
	t.Helper()
	before, err := c.Client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	crowd := gather(t, c.APIs, count, form, before.Version)
	defer crowd.disperse()
	var asked, answered []time.Duration
	var use *usage
	for round := range changes + 1 {
		awaitPolls(t, crowd, int64(count*(round+1)))
		start := time.Now()
		changed := weigh(t, c)
		end := time.Now()
		arrivals := collect(t, crowd, count, changed.Version.Number)
		if round == 0 { // the first warms caches and connections up
			use = measureFrom(t, c.Members)
			continue
		}
		for _, at := range arrivals {
			asked, answered = append(asked, at.Sub(start)), append(answered, at.Sub(end))
		}
	}
	shares := use.shares(t)
	members := shares[0] + shares[1] + shares[2]
	table.add(count, form.name, crowd.octets.Load()/int64(count*(changes+1)),
		milliseconds(quantile(asked, 0.5)), milliseconds(quantile(asked, 0.99)), milliseconds(quantile(asked, 1)),
		milliseconds(quantile(answered, 0.5)), milliseconds(quantile(answered, 0.99)),
		fmt.Sprintf("%.2f", members), fmt.Sprintf("%.2f", shares[3]))
}

// awaitPolls waits until the watchers have sent so many polls, and then until the members have had time
// to park them.
func awaitPolls(t *testing.T, crowd *crowd, count int64) {
	t.Helper()
	deadline := time.Now().Add(arrivalsWait)
	for crowd.polling.Load() < count {
		if time.Now().After(deadline) || t.Failed() {
			t.Fatalf("only %d of %d polls were sent", crowd.polling.Load(), count)
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(changeSpacing)
}

// weigh changes the ring: one node's weight, back and forth.
func weigh(t *testing.T, c *cluster.Cluster) api.Changed {
	t.Helper()
	node, err := c.Client.Node(t.Context(), "node-00000")
	if err != nil {
		t.Fatal(err)
	}
	weight := 3 - node.Weight
	changed, err := c.Client.PatchNode(t.Context(), "node-00000", api.NodePatch{Weight: &weight})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// collect waits until every watcher has the version, and returns when each had.
func collect(t *testing.T, crowd *crowd, count int, version uint64) []time.Time {
	t.Helper()
	var at []time.Time
	timeout := time.After(arrivalsWait)
	for len(at) < count {
		select {
		case arrived := <-crowd.arrivals:
			if arrived.version == version {
				at = append(at, arrived.at)
			}
		case <-timeout:
			t.Fatalf("only %d of %d watchers have version %d", len(at), count, version)
		}
	}
	return at
}
