//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// steadCode runs a command that must end with an exit code, and decodes what it printed as JSON.
func steadCode[Answer any](t *testing.T, c *cluster.Cluster, code int, args ...string) (answer Answer) {
	t.Helper()
	output, err := steadTry(t, c, append(args, "-o", "json")...)
	got := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	}
	if got != code {
		t.Fatalf("stead %v: exit code %d, want %d\n%s", args, got, code, api.Clip(output))
	}
	if code != 2 {
		mustDecode(t, output, &answer)
	}
	return answer
}

// sameJSON compares two values as scripts would see them.
func sameJSON(t *testing.T, what string, got, want any) {
	t.Helper()
	is, err := json.Marshal(got)
	was, errWas := json.Marshal(want)
	if err != nil || errWas != nil || string(is) != string(was) {
		t.Fatalf("%s: got\n%s\nwant\n%s", what, api.Clip(string(is)), api.Clip(string(was)))
	}
}

// renew registers a node that holds nothing over and over until stopped.
func renew(t *testing.T, c *cluster.Cluster, id string) (stop func() int64) {
	t.Helper()
	registration := c.Static(id, "127.0.0.1:2001").Node.Registration
	stead(t, c, "nodes", "drain", id)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	var registering sync.WaitGroup
	var renewed atomic.Int64
	registering.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			registration.Nonce = fmt.Sprint(i)
			if _, err := c.Client.Register(ctx, registration); err == nil {
				renewed.Add(1)
			}
		}
	})
	return func() int64 { cancel(); registering.Wait(); return renewed.Load() }
}

// TestPlanApplyDiffRollback: under load, what a plan says is what the diff shows, exactly, and a rollback
// leads back slot for slot.
func TestPlanApplyDiffRollback(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3})
	c.AddNode()
	c.AwaitAssigned()
	stopRenewing := renew(t, c, "idle")
	c.Await("the joins to be planned", func(ctx context.Context) bool {
		list, err := c.Client.Changes(ctx, 0, 20)
		return err == nil && !slices.ContainsFunc(list.Changes, func(change api.Change) bool { return change.Status == api.ChangePending })
	})
	load := startLoad(t, c.ProxyAddrs)
	slotOf, err := c.Client.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	idle := steadCode[api.RingPlan](t, c, 0, "ring", "plan")
	began, first := idle.Change, idle.Diff.From
	steadCode[api.RingPlan](t, c, 2, "ring", "plan", "--remove", "nobody")
	asked := []string{"ring", "plan", "--add", "n4:weight=2", "--drain", "n3", "--weight", "n2=3"}
	plan := steadCode[api.RingPlan](t, c, 1, asked...)
	if plan.Moved == 0 || plan.Moved != plan.Minimum || plan.Applied != nil || plan.Diff.From != first {
		t.Fatalf("the plan moves %d, at least %d, from %s (the ring stood at %s)", plan.Moved, plan.Minimum, plan.Diff.From, first)
	}
	apply := append(slices.Clone(asked), "--apply", "--check-change", fmt.Sprint(plan.Change), "--expect", plan.Digest)
	applied := steadCode[api.RingPlan](t, c, 1, apply...)
	sameJSON(t, "what was applied", applied.Diff, plan.Diff)
	diff := steadCode[api.RingDiff](t, c, 0, "ring", "diff", plan.Diff.From.String(), applied.Applied.Version.String())
	sameJSON(t, "the diff", diff, plan.Diff)
	nodes := steadCode[api.NodeList](t, c, 0, "nodes")
	for i, node := range nodes.Nodes {
		if said := plan.Nodes[i]; said.ID != node.ID || said.After != node.Slots || said.Weight != node.Weight {
			t.Errorf("the plan said %+v, it is %+v", said, node)
		}
	}

	// The plan was made in sight of a change that is no longer the newest.
	late := []string{"ring", "plan", "--drain", "n1", "--apply", "--check-change", fmt.Sprint(plan.Change)}
	steadCode[api.RingPlan](t, c, 2, late...)
	if now := steadCode[api.RingPlan](t, c, 0, "ring", "plan"); now.Diff.From != applied.Applied.Version || now.Change != applied.Applied.Change {
		t.Errorf("a plan that was refused moved the ring from %s to %s", applied.Applied.Version, now.Diff.From)
	}

	steadCode[api.RingPlan](t, c, 1, "ring", "plan", "--undrain", "n3", "--apply")
	foreseen := steadCode[api.RingPlan](t, c, 0, "ring", "rollback", fmt.Sprint(began), "--dry-run")
	undone := steadCode[api.RingPlan](t, c, 0, "ring", "rollback", fmt.Sprint(began), "--expect", foreseen.Digest)
	back := steadCode[api.RingDiff](t, c, 0, "ring", "diff", foreseen.Diff.From.String(), undone.Applied.Version.String())
	sameJSON(t, "the diff of the rollback", back, foreseen.Diff)
	whole := steadCode[api.RingDiff](t, c, 0, "ring", "diff", first.String(), undone.Applied.Version.String())
	if whole.Moved != 0 {
		t.Errorf("after the rollback %d slots are elsewhere than before", whole.Moved)
	}
	want, err := c.Client.Change(t.Context(), undone.Applied.Change)
	if err != nil {
		t.Fatal(err)
	}
	for slot, row := range want.Want {
		if owner := slotOf.Table.Nodes[slotOf.Table.Primary(api.Slot(slot))].ID; !slices.Equal(row, []api.NodeID{owner}) {
			t.Fatalf("slot %d is wanted on %v, was on %s", slot, row, owner)
		}
	}

	c.AwaitConverged()
	load.end()
	moved := map[api.Slot]bool{}
	for _, slot := range plan.Diff.Slots {
		moved[slot.Slot] = true
	}
	for key, failures := range load.failed {
		if !moved[slotOf.Slot(keyNumber(key))] {
			t.Errorf("key %d did not move and failed: %v", key, failures)
		}
	}
	t.Logf("%d of %d slots moved and back; %d requests, %d registrations meanwhile, %d keys failed",
		plan.Moved, plan.Slots, load.served.Load(), stopRenewing(), len(load.failed))
}

// TestMaintenance: a cache that is announced to be away comes back to its slots; one that is killed
// without a word is replaced.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 1, Nodes: 3, NodeArgs: []string{"--store=memory", "--on-down=reset"}})
	before, err := c.Client.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stead(t, c, "nodes", "maintenance", "n1", "--for", "15m")
	stead(t, c, "nodes", "maintenance", "n2", "--for", "15m")
	c.Nodes[0].Kill() // without a word
	c.Nodes[1].Stop() // in good order: it does not hand its slots back
	status := func(id api.NodeID, want api.NodeStatus) {
		t.Helper()
		c.Await(fmt.Sprintf("%s to be %s", id, want), func(ctx context.Context) bool {
			node, err := c.Client.Node(ctx, id)
			return err == nil && node.Status == want
		})
	}
	status("n1", api.NodeDown)
	status("n2", api.NodeDown)
	c.Nodes[0].Start()
	c.Nodes[1].Start()
	status("n1", api.NodeUp)
	status("n2", api.NodeUp)
	diff, err := c.Client.Diff(t.Context(), before.Table.Version.String(), "")
	if err != nil || diff.Moved != 0 {
		t.Fatalf("%d slots moved, %v", diff.Moved, err)
	}
	stead(t, c, "nodes", "maintenance", "n1", "--end")
	c.Nodes[0].Kill()
	c.Await("its slots to be given away", func(ctx context.Context) bool {
		node, err := c.Client.Node(ctx, "n1")
		return err == nil && node.Status == api.NodeDown && node.Slots == 0
	})
}
