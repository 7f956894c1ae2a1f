//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// Limits of a takeover.
const (
	takeoverMax       = 2500 * time.Millisecond
	takeoverLeaderMax = 4 * time.Second
	probeEvery        = 250 * time.Millisecond
)

// answeredAgain asks for one key of every slot that a dead node was primary of until all have answered, one
// question outstanding a slot, and returns how long the last took.
func answeredAgain(t *testing.T, c *cluster.Cluster, keys [][]byte) time.Duration {
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	var all sync.WaitGroup
	for i, key := range keys {
		all.Go(func() {
			pause(probeEvery * time.Duration(i) / time.Duration(len(keys)))
			for ctx.Err() == nil {
				got, err := try(ctx, http.MethodGet, kvURL(c.ProxyAddrs[i%2], key), nil)
				if err == nil && (got.status == http.StatusOK || got.status == http.StatusNotFound) {
					return
				}
				pause(probeEvery)
			}
			t.Errorf("%s never answered again", key)
		})
	}
	all.Wait()
	return time.Since(began)
}

// takeover kills a node, and with it perhaps the leader of the control plane, and measures until all its slots
// answer again; then all is as before.
func takeover(t *testing.T, c *cluster.Cluster, victim int, leaderToo bool) time.Duration {
	t.Helper()
	id := api.NodeID(fmt.Sprintf("n%d", victim+1))
	node, err := c.Client.Node(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	keys := keysOf(t, c, id, node.Slots)
	killed := []*cluster.Process{c.Nodes[victim]}
	if leaderToo {
		killed = append(killed, c.Members[c.Leader()])
	}
	for _, process := range killed {
		process.Kill()
	}
	took := answeredAgain(t, c, keys)
	for _, process := range killed {
		process.Start()
	}
	awaitWhole(t, c, 2)
	return took
}

// TestTakeover: kill -9 of a node with two replicas of 4,096 slots. Every slot it served answers again soon.
func TestTakeover(t *testing.T) {
	c := managed(t, 2, 3, 4096)
	var times []time.Duration
	for round := range long(2, 10) {
		times = append(times, takeover(t, c, round%3, false))
		t.Logf("round %d: %v", round+1, times[round].Round(time.Millisecond))
	}
	within(t, "node killed to every slot answering, median", median(times), takeoverMax)
}

// TestTakeoverWithoutLeader: the leader of the control plane is killed with the node.
func TestTakeoverWithoutLeader(t *testing.T) {
	c := managed(t, 2, 3, 4096)
	var times []time.Duration
	for round := range long(1, 10) {
		times = append(times, takeover(t, c, round%3, true))
	}
	within(t, "node and leader killed to every slot answering, median", median(times), takeoverLeaderMax)
}
