package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// newManaged is a world whose nodes hand slots over, with nodes n1 to nN, planned.
func newManaged(t *testing.T, replicas, nodes int, zones ...string) *world {
	w := &world{t: t, state: fsm.New(), now: time.UnixMilli(1_000_000), seen: map[api.ChangeID]time.Time{}}
	w.apply(fsm.Bootstrap{Cluster: noStore, Level: fsm.LevelSupported, Settings: api.Settings{
		Service: "kv", State: api.StateManaged, Keys: []string{"query:k"}, NoKey: api.NoKeyReject,
		SlotBits: 8, Replicas: replicas, Hash: api.HashSipHash24, HashKey: noStore,
	}})
	for i := range nodes {
		zone := ""
		if len(zones) > 0 {
			zone = zones[i%len(zones)]
		}
		w.join(fmt.Sprintf("n%d", i+1), zone)
	}
	w.now = w.now.Add(policy.Delay)
	w.settle()
	return w
}

// join registers a node with a store.
func (w *world) join(id, zone string) {
	w.t.Helper()
	store := strings.Repeat("a", 31) + id[len(id)-1:]
	w.apply(fsm.Register{Registration: api.Registration{
		ID: api.NodeID(id), Address: fmt.Sprintf("127.0.0.1:%d", 2000+int(id[len(id)-1])), Zone: zone,
		State: api.StateManaged, StoreID: api.StoreID(store), Boot: 1, Nonce: id,
	}})
}

// out gives a node that is down up.
func (w *world) out(id string) {
	w.t.Helper()
	w.down(id)
	w.apply(fsm.Out{Node: api.NodeID(id), Session: w.state.Node(api.NodeID(id)).Session})
}

// wanted counts, by node, the slots that it should hold, and those that it should be primary of.
func (w *world) wanted() (replicas, primaries map[api.NodeID]int) {
	replicas, primaries = map[api.NodeID]int{}, map[api.NodeID]int{}
	for _, slot := range w.state.SlotsSince(0, true) {
		for i, id := range slot.Want {
			replicas[id]++
			if i == 0 {
				primaries[id]++
			}
		}
	}
	return replicas, primaries
}

func (w *world) expectWanted(want string) {
	w.t.Helper()
	replicas, primaries := w.wanted()
	var got []string
	for _, node := range w.state.Nodes() {
		id := node.Registration.ID
		got = append(got, fmt.Sprintf("%s %d/%d", id, replicas[id], primaries[id]))
	}
	if text := strings.Join(got, ", "); text != want {
		w.t.Errorf("wanted: %s; want %s", text, want)
	}
}

func TestManagedShares(t *testing.T) {
	f := func(replicas, nodes int, want string) {
		t.Helper()
		newManaged(t, replicas, nodes).expectWanted(want)
	}
	f(1, 2, "n1 128/128, n2 128/128")
	f(2, 4, "n1 128/64, n2 128/64, n3 128/64, n4 128/64")
	f(3, 3, "n1 256/86, n2 256/85, n3 256/85")
	f(3, 2, "n1 256/128, n2 256/128")
}

// TestMoreNodesMoveTheirShare: what waits for nothing moves without being asked for, and slots on their way do
// not overtake a plan.
func TestMoreNodesMoveTheirShare(t *testing.T) {
	w := newManaged(t, 2, 3)
	base := w.state.PlanBase()
	node := w.state.Node("n1")
	slot := slices.IndexFunc(w.state.SlotsSince(0, true), func(c api.SlotConfig) bool { return c.Primary == "n1" })
	is := w.state.SlotConfig(ring.Slot(slot))
	w.apply(fsm.Cas{Node: "n1", Session: node.Session, Generation: 1, Proposals: []api.SlotProposal{
		{Slot: is.Slot, Base: is.Epoch, Kind: "abort", Primary: "n1", ISR: is.ISR},
	}})
	if w.state.PlanBase() != base {
		t.Error("a slot that moves overtakes plans")
	}
	w.join("n4", "")
	w.now = w.now.Add(policy.Delay)
	if moved := w.settle(); moved < 128 || moved > 140 {
		t.Errorf("%d rows changed, want about 128", moved)
	}
	w.expectWanted("n1 128/64, n2 128/64, n3 128/64, n4 128/64")
	w.expectHeld("n1:86", "n2:85", "n3:85", "n4:0")
}

func TestDownKeepsItsPlacesUntilItIsOut(t *testing.T) {
	w := newManaged(t, 2, 4)
	w.down("n4")
	if w.settle() != -1 {
		t.Error("a plan is due because a node is down")
	}
	w.apply(fsm.Rebalance{})
	w.settle()
	w.expectWanted("n1 128/64, n2 128/64, n3 128/64, n4 128/64")
	w.apply(fsm.Out{Node: "n4", Session: w.state.Node("n4").Session})
	w.settle()
	w.expectWanted("n1 171/86, n2 171/85, n3 170/85, n4 0/0")
	w.join("n4", "")
	w.now = w.now.Add(policy.Delay)
	w.settle()
	w.expectWanted("n1 128/64, n2 128/64, n3 128/64, n4 128/64")
}

// TestDrainPastANodeThatIsDown: what a drain takes out of slots that a node which is down has a place in goes
// to others; that place stays.
func TestDrainPastANodeThatIsDown(t *testing.T) {
	w := newManaged(t, 2, 4, "a", "b")
	w.down("n4")
	w.apply(fsm.Drain{Node: "n1", On: true})
	w.settle()
	replicas, _ := w.wanted()
	if replicas["n1"] != 0 || replicas["n4"] != 128 || replicas["n2"]+replicas["n3"] != 384 {
		t.Errorf("wanted: %v", replicas)
	}
}

func TestGovernorHoldsOuts(t *testing.T) {
	w := newManaged(t, 2, 4)
	w.out("n1")
	w.settle()
	w.out("n2")
	agenda := Due(w.state, policy, w.seen, w.now)
	if len(agenda.Settle) != 0 || len(agenda.Hold) != 1 {
		t.Fatalf("the agenda is %+v", agenda)
	}
	w.settle()
	w.apply(fsm.Rebalance{})
	w.settle()
	if replicas, _ := w.wanted(); replicas["n1"] != 0 || replicas["n2"] == 0 {
		t.Errorf("wanted: %v", replicas)
	}
	w.now = w.now.Add(policy.EvictWindow)
	w.out("n3")
	if agenda := Due(w.state, policy, w.seen, w.now); len(agenda.Settle) != 1 {
		t.Errorf("after the window the agenda is %+v", agenda)
	}
}

func TestReplicasAreInDistinctZones(t *testing.T) {
	w := newManaged(t, 2, 4, "a", "b")
	for _, slot := range w.state.SlotsSince(0, true) {
		first, second := w.state.Node(slot.Want[0]), w.state.Node(slot.Want[1])
		if first.Registration.Zone == second.Registration.Zone {
			t.Fatalf("slot %d is wanted on %v, both of zone %s", slot.Slot, slot.Want, first.Registration.Zone)
		}
	}
}

// TestManagedPlanSpeaksOfWants: a plan says what will be once everything has moved.
func TestManagedPlanSpeaksOfWants(t *testing.T) {
	w := newManaged(t, 2, 4)
	ask := func(ask api.PlanAsk) Proposal {
		t.Helper()
		proposal, problem := Propose(w.state, ask, nil)
		if problem != nil {
			t.Fatal(problem)
		}
		return proposal
	}
	drain := ask(api.PlanAsk{Drain: []api.NodeID{"n4"}})
	if plan := drain.Plan; plan.Moved != 64 || plan.LeavesState != 0 || plan.Lossy != 0 || plan.Nodes[3].After != 0 || !plan.Changes {
		t.Errorf("the plan is %+v", plan)
	}
	for _, slot := range drain.Plan.Diff.Slots {
		if !slices.Contains(slot.Before.Replicas, "n4") || slices.Contains(slot.After.Replicas, "n4") || slot.Before.Epoch != slot.After.Epoch {
			t.Fatalf("slot %d goes from %+v to %+v", slot.Slot, slot.Before, slot.After)
		}
	}
	result := w.apply(drain.Command)
	if change, _ := w.state.Change(result.Change); change.Status != api.ChangeRunning || change.Progress.Total != len(drain.Plan.Diff.Slots) {
		t.Errorf("applied, it is %+v", change)
	}
	w.expectHeld("n1:64", "n2:64", "n3:64", "n4:64")
	if plan := ask(api.PlanAsk{Drain: []api.NodeID{"n4"}}).Plan; plan.Changes {
		t.Errorf("asked for again, it is %+v", plan)
	}
	more := ask(api.PlanAsk{Add: []api.PlanAdd{{ID: "n9"}}}).Plan
	if len(more.Blocked) != 0 || more.Nodes[4].After != 64 || !strings.Contains(more.Note, "n9 is not registered") {
		t.Errorf("a node to come: %+v, %s", more.Nodes, more.Note)
	}
	if blocked := ask(api.PlanAsk{Add: []api.PlanAdd{{ID: "n9", Address: "127.0.0.1:1"}}, Apply: true}).Plan.Blocked; len(blocked) != 1 {
		t.Errorf("blocked: %+v", blocked)
	}
	if plan := ask(api.PlanAsk{Remove: []api.NodeID{"n3"}}).Plan; len(plan.Blocked) != 0 || plan.Lossy != 0 {
		t.Errorf("a removal at R = 2: %+v", plan)
	}
	w.apply(fsm.Drain{Node: "n4"})
	back, problem := Rollback(w.state, 5, []api.ChangeID{w.state.NewestChange()})
	if problem != nil || back.Plan.Moved != 64 {
		t.Fatalf("%v, %+v", problem, back.Plan)
	}
	w.apply(back.Command)
	w.expectWanted("n1 128/64, n2 128/64, n3 128/64, n4 128/64")
}

func TestOuts(t *testing.T) {
	w := newManaged(t, 2, 4)
	f := func(after time.Duration, want string) {
		t.Helper()
		var ids []string
		for _, out := range Outs(w.state, after, w.now, 2) {
			ids = append(ids, string(out.Node))
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
	f(0, "")
	w.down("n1")
	w.now = w.now.Add(time.Minute)
	w.down("n2")
	f(time.Minute, "n1")
	f(0, "n1 n2")
	w.down("n3")
	f(0, "n1 n2") // no more at once
	w.apply(fsm.Maintenance{Node: "n1", For: api.Duration(time.Hour)})
	f(0, "n2 n3")
	w.apply(fsm.Out{Node: "n2", Session: w.state.Node("n2").Session})
	f(0, "n3")
	w.now = w.now.Add(2 * time.Hour)
	f(0, "n1 n3")
}
