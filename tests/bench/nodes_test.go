//go:build bench

package bench

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

var (
	beaters = flag.Int("beaters", 10_000, "simulated nodes")
	steady  = flag.Duration("steady", 20*time.Second, "how long the steady state is watched")
)

const (
	registerWait  = 2 * time.Minute
	quietFor      = 6 * time.Second // longer than half a ttl, when silent nodes turn suspect
	vanishedShare = 0.3
	evictShare    = 0.25 // the governor's default
)

// TestTenThousandNodes registers the nodes, has them beat once a second, and then lets 30 % vanish at
// once. In the steady state nothing may be written to the log, unless the machine is too busy for the
// load itself; of those that vanish the governor may give up no more than its share.
func TestTenThousandNodes(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, ControlArgs: []string{"--slots", "16384"}})
	var table figures
	table.add("phase", "seconds", "leader CPU", "follower CPU", "follower CPU", "load's CPU", "leader MiB", "requests/s")
	phase := func(name string, use *usage, requests int64) {
		elapsed := time.Since(use.start).Seconds()
		shares := use.shares(t)
		leader := c.Leader()
		row := []any{name, fmt.Sprintf("%.1f", elapsed), fmt.Sprintf("%.2f", shares[leader])}
		for i, share := range shares {
			if i != leader {
				row = append(row, fmt.Sprintf("%.2f", share))
			}
		}
		table.add(append(row, residentOf(t, c.Members[leader].PID()), fmt.Sprintf("%.0f", float64(requests)/elapsed))...)
	}

	use := measureFrom(t, c.Members)
	herd := drive(t, c.APIs, *beaters)
	awaitRegistered(t, c, herd)
	phase("register", use, herd.registered.Load()+herd.beats.Load())
	awaitQuiet(t, c)

	herd.longest.Store(0)
	before, beats := show(t, c), herd.beats.Load()
	use = measureFrom(t, c.Members)
	time.Sleep(*steady) // the load itself
	after := show(t, c)
	phase("steady", use, herd.beats.Load()-beats)
	longest := time.Duration(herd.longest.Load())
	writes := appliedBy(after) - appliedBy(before)
	fmt.Printf("\nSteady state: %d entries written to the log; the longest silence of a node was %v\n", writes, longest.Round(time.Millisecond))
	if writes != 0 && longest < beatTTL/2 {
		t.Errorf("%d entries were written to the log while nothing happened", writes)
	}

	slots := slotsOf(t, c)
	use, beats = measureFrom(t, c.Members), herd.beats.Load()
	gone := herd.silence(vanishedShare)
	awaitDown(t, c, gone)
	phase("vanish", use, herd.beats.Load()-beats)
	awaitQuiet(t, c)
	table.print(fmt.Sprintf("%d nodes that beat once a second through three members (cores used; %d requests failed)", *beaters, herd.refused.Load()))
	judgeGovernor(t, c, slots, gone)
}

func show(t *testing.T, c *cluster.Cluster) api.Cluster {
	t.Helper()
	state, err := c.Client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// appliedBy is the index of the last log entry that the leader applied.
func appliedBy(state api.Cluster) uint64 {
	for _, member := range state.Members {
		if member.Leader {
			return member.Applied
		}
	}
	return 0
}

func awaitRegistered(t *testing.T, c *cluster.Cluster, herd *herd) {
	t.Helper()
	deadline := time.Now().Add(registerWait)
	for herd.registered.Load() < int64(*beaters) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d nodes are registered", herd.registered.Load())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// awaitQuiet waits until all nodes that live are up and nothing was written for a while.
func awaitQuiet(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	deadline, since, last := time.Now().Add(registerWait), time.Now(), uint64(0)
	for time.Since(since) < quietFor {
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not come to rest")
		}
		state := show(t, c)
		if applied := appliedBy(state); applied != last || state.Nodes.Suspect > 0 || state.Unassigned > 0 {
			last, since = applied, time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func awaitDown(t *testing.T, c *cluster.Cluster, gone int) {
	t.Helper()
	deadline := time.Now().Add(registerWait)
	for {
		state := show(t, c)
		if state.Nodes.Down >= gone {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d nodes are down", state.Nodes.Down, gone)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// slotsOf counts the slots of every node.
func slotsOf(t *testing.T, c *cluster.Cluster) map[api.NodeID]int {
	t.Helper()
	list, err := c.Client.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slots := make(map[api.NodeID]int, len(list.Nodes))
	for _, node := range list.Nodes {
		slots[node.ID] = node.Slots
	}
	return slots
}

// judgeGovernor counts what the nodes that vanished had and have, and holds the governor to its word.
func judgeGovernor(t *testing.T, c *cluster.Cluster, before map[api.NodeID]int, gone int) {
	t.Helper()
	list, err := c.Client.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	given, keeping, replanned, held, robbed := 0, 0, 0, 0, 0
	for _, node := range list.Nodes {
		switch {
		case node.Status != api.NodeDown && node.Slots < before[node.ID]:
			robbed++
		case node.Status != api.NodeDown:
		case node.Slots > 0:
			keeping, held = keeping+1, held+node.Slots
		default:
			given, replanned = given+1, replanned+before[node.ID]
		}
	}
	alarms := len(show(t, c).Alarms)
	allowed := int(evictShare * float64(len(list.Nodes)))
	fmt.Printf("\nOf %d nodes %d vanished: %d lost their slots (%d replanned; the governor allows %d nodes), %d keep %d slots; %d alarms\n",
		len(list.Nodes), given+keeping, given, replanned, allowed, keeping, held, alarms)
	if given+keeping != gone || given > allowed || keeping != max(0, gone-allowed) || alarms != keeping {
		t.Error("the governor did not keep its word")
	}
	if robbed > 0 {
		t.Errorf("%d nodes that live lost slots to the plan", robbed)
	}
}
