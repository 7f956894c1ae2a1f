//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/tests/cluster"
)

// TestWritesThroughKilledLeaders: 200 writes while leaders are killed with -9. Each is answered for good,
// and was carried out once: a rebalance done twice would stand twice in history, a weight set twice would
// be answered with no change.
func TestWritesThroughKilledLeaders(t *testing.T) {
	t.Parallel()
	const writers, rounds = 8, 25
	c := cluster.Start(t, cluster.Options{Members: 3})
	for i := range writers {
		c.Static(fmt.Sprintf("n%d", i), fmt.Sprintf("127.0.0.1:%d", 2001+i))
	}
	c.Await("slots", func(ctx context.Context) bool {
		status, err := c.Client.Cluster(ctx)
		return err == nil && status.Unassigned == 0
	})
	var mu sync.Mutex
	answered := map[api.ChangeID]string{}
	replayed := 0
	write := func(writer, round int) {
		ctx := client.WithIdempotencyKey(t.Context(), fmt.Sprintf("write-%d-%d", writer, round))
		var changed api.Changed
		var err error
		what := "rebalance"
		if round%2 == 0 {
			weight := 2 + round
			what = fmt.Sprintf("weight n%d", writer)
			changed, err = c.Client.PatchNode(ctx, api.NodeID(fmt.Sprintf("n%d", writer)), api.NodePatch{Weight: &weight})
		} else {
			changed, err = c.Client.Rebalance(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil || changed.Change == 0 || answered[changed.Change] != "" {
			t.Errorf("%s by writer %d, round %d: %+v, %v, answered before to %q", what, writer, round, changed, err, answered[changed.Change])
		}
		answered[changed.Change] = what
		if changed.Replayed {
			replayed++
		}
	}
	var killing sync.WaitGroup
	killing.Go(func() {
		for range 2 {
			c.Await("writes", func(context.Context) bool { mu.Lock(); defer mu.Unlock(); return len(answered) > 40 })
			leader := c.Leader()
			c.Members[leader].Kill()
			c.Await("another leader", func(ctx context.Context) bool { _, err := c.Client.Nodes(ctx); return err == nil })
			c.Members[leader].Start()
		}
	})
	var writing sync.WaitGroup
	for writer := range writers {
		writing.Go(func() {
			for round := range rounds {
				write(writer, round)
			}
		})
	}
	writing.Wait()
	killing.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	history, err := c.Client.Changes(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	recorded := 0
	for _, change := range history.Changes {
		if change.Kind != "weight" && change.Kind != "rebalance" {
			continue
		}
		recorded++
		if answered[change.ID] != change.Cause {
			t.Errorf("change %d is %q, was answered to %q", change.ID, change.Cause, answered[change.ID])
		}
	}
	t.Logf("%d writes, %d changes, %d answers were repetitions", writers*rounds, recorded, replayed)
	if recorded != writers*rounds {
		t.Errorf("history holds %d changes of %d writes", recorded, writers*rounds)
	}
}

// TestControlPage: what the first block of docs/api/control.md does twice is done once.
func TestControlPage(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 1})
	for i := range 2 {
		c.Static(fmt.Sprintf("n%d", i+1), fmt.Sprintf("127.0.0.1:%d", 2001+i))
	}
	lines := strings.Split(blocks(t, "docs/api/control.md")[0].script, "\n")
	var outputs []string
	for _, line := range lines {
		command := exec.Command("sh", "-c", strings.NewReplacer("127.0.0.1:7400", c.APIs[0], "curl ", "curl -sS --fail ").Replace(line))
		command.Env = append(os.Environ(), "STEAD_CONTROL="+c.APIs[0],
			"PATH="+filepath.Dir(cluster.Binary(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
		output, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", line, err, output)
		}
		outputs = append(outputs, string(output))
	}
	if len(outputs) < 3 || outputs[0] != outputs[1] {
		t.Errorf("the lines say %q", outputs)
	}
	if history := stead(t, c, "ring", "history"); strings.Count(history, "  drain n2  ") != 1 {
		t.Errorf("history says\n%s", history)
	}
}
