package planner

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// pendingOf is what a plan made now would settle.
func (w *world) pendingOf() []api.ChangeID {
	at := policy
	at.Delay = 0
	return Due(w.state, at, nil, w.now).Settle
}

func (w *world) propose(ask api.PlanAsk) Proposal {
	w.t.Helper()
	if problem := ask.Validate(); problem != nil {
		w.t.Fatalf("%+v: %v", ask, problem)
	}
	proposal, problem := Propose(w.state, ask, w.pendingOf())
	if problem != nil {
		w.t.Fatalf("%+v: %v", ask, problem)
	}
	return proposal
}

// carryOut applies a plan and compares what came of it with what was said.
func (w *world) carryOut(proposal Proposal) *fsm.Change {
	w.t.Helper()
	plan, before := proposal.Plan, w.state
	w.apply(proposal.Command)
	if err := w.state.Check(); err != nil {
		w.t.Fatalf("after %s: %v", plan.Cause, err)
	}
	diff := ring.Diff(before.Table(), w.state.Table())
	for i, node := range plan.Diff.Nodes {
		if node.After != nil && node.After.Address == "" {
			diff.Nodes[i].After.Address = "" // planned for before it has one
		}
	}
	if !reflect.DeepEqual(diff, plan.Diff) {
		w.t.Fatalf("%s: the plan said it moves %d slots, the diff shows %d, or others", plan.Cause, plan.Diff.Moved, diff.Moved)
	}
	if w.state.NewestChange() != before.NewestChange()+1 || w.state.Number > before.Number+1 {
		w.t.Fatalf("%s made more than one change or version", plan.Cause)
	}
	held := w.state.SlotsHeld()
	for _, node := range plan.Nodes {
		is := 0
		if known := w.state.Node(node.ID); known != nil {
			is = held[known.Index]
		}
		if is != node.After || (w.state.Node(node.ID) == nil) != (node.Fate == "remove") {
			w.t.Fatalf("%s: node %+v holds %d slots", plan.Cause, node, is)
		}
	}
	change, problem := w.state.Change(w.state.NewestChange())
	if problem != nil || change.Show().Cause != plan.Cause || change.Progress.Total != plan.Moved ||
		change.LeavesState != plan.LeavesState || change.Lossy != (plan.Lossy > 0) || change.Status != api.ChangeDone {
		w.t.Fatalf("the plan said %+v, history says %+v", plan, change)
	}
	return change
}

// TestPlanIsWhatApplyDoes plans at random in random states, carries the plans out and rolls some back.
func TestPlanIsWhatApplyDoes(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t)
		applied := 0
		for range 40 {
			switch random.IntN(4) {
			case 0:
				w.disturb(random)
			case 1:
				w.now = w.now.Add(time.Duration(random.IntN(5)) * time.Second)
				w.settle()
			case 2:
				proposal := w.propose(w.randomAsk(random))
				if !proposal.Plan.Changes {
					continue
				}
				if proposal.Plan.Moved != proposal.Plan.Minimum {
					t.Errorf("seed %d: %s moves %d, %d would do", seed, proposal.Plan.Cause, proposal.Plan.Moved, proposal.Plan.Minimum)
				}
				w.carryOut(proposal)
				applied++
			case 3:
				to := 1 + random.Uint64N(uint64(w.state.NewestChange()))
				if proposal, problem := Rollback(w.state, api.ChangeID(to), w.pendingOf()); problem == nil && proposal.Plan.Changes {
					w.carryOut(proposal)
				}
			}
		}
		if applied == 0 {
			t.Errorf("seed %d applied no plan", seed)
		}
	}
}

// disturb registers, drops, drains or forgets a node.
func (w *world) disturb(random *rand.Rand) {
	n := random.IntN(7)
	id := api.NodeID(fmt.Sprintf("n%d", n))
	known := w.state.Node(id)
	switch {
	case known == nil:
		w.apply(fsm.Register{Registration: api.Registration{
			ID: id, Address: fmt.Sprintf("127.0.2.1:%d", n+1), OnDown: []api.OnDown{api.OnDownWait, api.OnDownReset}[n%2],
		}})
	case known.Status == api.NodeDown:
		w.apply(fsm.Register{Registration: known.Registration})
	case random.IntN(3) == 0:
		w.down(string(id))
	case random.IntN(3) == 0:
		w.apply(fsm.Maintenance{Node: id, For: api.Duration(random.IntN(10)) * api.Duration(time.Second)})
	case known.Draining:
		w.apply(fsm.Drain{Node: id})
	default:
		weight := 1 + random.IntN(4)
		w.apply(fsm.Patch{Node: id, Patch: api.NodePatch{Weight: &weight}})
	}
}

func (w *world) randomAsk(random *rand.Rand) api.PlanAsk {
	ask := api.PlanAsk{Force: random.IntN(2) == 0, Rebalance: random.IntN(8) == 0, Weights: api.PlanWeight{}}
	for n := range 9 {
		id := api.NodeID(fmt.Sprintf("n%d", n))
		switch random.IntN(12) {
		case 0, 1:
			add := api.PlanAdd{ID: id, Weight: random.IntN(4), Zone: []string{"", "a", "b"}[random.IntN(3)]}
			if w.state.Node(id) == nil {
				add.Address = fmt.Sprintf("127.0.1.1:%d", n+1)
			}
			ask.Add = append(ask.Add, add)
		case 2:
			ask.Remove = append(ask.Remove, id)
		case 3:
			ask.Drain = append(ask.Drain, id)
		case 4:
			ask.Undrain = append(ask.Undrain, id)
		case 5:
			ask.Weights[id] = 1 + random.IntN(4)
		}
	}
	return ask
}

// three is a ring of three nodes that wait.
func three(t *testing.T) *world {
	w := newWorld(t)
	for _, id := range []string{"n1", "n2", "n3"} {
		w.register(id, api.OnDownWait)
	}
	w.now = w.now.Add(time.Minute)
	w.settle()
	w.expectHeld("n1:86", "n2:85", "n3:85")
	return w
}

func TestPlansMoveWhatTheyMust(t *testing.T) {
	f := func(ask api.PlanAsk, moved, leaves, lossy int, cause string, want ...string) {
		t.Helper()
		w := three(t)
		proposal := w.propose(ask)
		plan := proposal.Plan
		if plan.Moved != moved || plan.Minimum != moved || plan.LeavesState != leaves || plan.Lossy != lossy || plan.Cause != cause {
			t.Errorf("%+v: moves %d (least %d), leaves %d, loses %d, for %q", ask, plan.Moved, plan.Minimum, plan.LeavesState, plan.Lossy, plan.Cause)
		}
		w.carryOut(proposal)
		w.expectHeld(want...)
	}
	add := []api.PlanAdd{{ID: "n9", Weight: 2}}
	f(api.PlanAsk{Add: add}, 102, 102, 0, "add n9", "n1:52", "n2:51", "n3:51", "n9:102")
	f(api.PlanAsk{Drain: []api.NodeID{"n3"}}, 85, 85, 0, "drain n3", "n1:128", "n2:128", "n3:0")
	f(api.PlanAsk{Remove: []api.NodeID{"n1"}, Force: true}, 86, 86, 86, "remove n1", "n2:128", "n3:128")
	f(api.PlanAsk{Weights: api.PlanWeight{"n2": 2}}, 43, 43, 0, "weight n2=2", "n1:64", "n2:128", "n3:64")
	f(api.PlanAsk{Add: add, Remove: []api.NodeID{"n1"}, Drain: []api.NodeID{"n3"}, Force: true},
		171, 171, 86, "add n9, remove n1, drain n3", "n2:85", "n3:0", "n9:171")
}

func TestPlanOfNothing(t *testing.T) {
	w := three(t)
	f := func(ask api.PlanAsk) {
		t.Helper()
		if plan := w.propose(ask).Plan; plan.Changes || plan.Moved != 0 || plan.Note != "nothing to change" || len(plan.Diff.Slots) != 0 {
			t.Errorf("%+v: got %+v", ask, plan)
		}
	}
	f(api.PlanAsk{})
	f(api.PlanAsk{Weights: api.PlanWeight{"n1": 1}})
	f(api.PlanAsk{Add: []api.PlanAdd{{ID: "n1"}}})
	f(api.PlanAsk{Rebalance: true})
	f(api.PlanAsk{Undrain: []api.NodeID{"n1"}})
	w.apply(fsm.Drain{Node: "n1", On: true})
	w.settle()
	f(api.PlanAsk{Drain: []api.NodeID{"n1"}})
}

// TestPlanSettlesWhatWaits: joins that were not planned yet are part of the plan.
func TestPlanSettlesWhatWaits(t *testing.T) {
	w := newWorld(t)
	w.register("n1", api.OnDownReset)
	w.now = w.now.Add(time.Minute)
	w.settle()
	w.register("n2", api.OnDownReset)
	joined := w.state.NewestChange()
	proposal := w.propose(api.PlanAsk{Weights: api.PlanWeight{"n1": 3}})
	if !slices.Equal(proposal.Plan.Settles, []api.ChangeID{joined}) {
		t.Fatalf("settles %v", proposal.Plan.Settles)
	}
	w.carryOut(proposal)
	w.expectHeld("n1:192", "n2:64")
	if len(w.state.Pending()) != 0 {
		t.Errorf("still pending: %v", w.state.Pending())
	}
}

func TestBlockedParts(t *testing.T) {
	f := func(ask api.PlanAsk, field string, node api.NodeID, code api.Code) {
		t.Helper()
		w := three(t)
		w.down("n3")
		plan := w.propose(ask).Plan
		if len(plan.Blocked) != 1 {
			t.Fatalf("%+v: blocked are %+v", ask, plan.Blocked)
		}
		if got := plan.Blocked[0]; got.Field != field || got.Node != node || got.Code != code || plan.Changes {
			t.Errorf("%+v: blocked is %+v, changes %v", ask, got, plan.Changes)
		}
	}
	f(api.PlanAsk{Remove: []api.NodeID{"n1"}}, "remove", "n1", api.CodeLastCopy)
	f(api.PlanAsk{Remove: []api.NodeID{"n9"}}, "remove", "n9", api.CodeNodeUnknown)
	f(api.PlanAsk{Drain: []api.NodeID{"n9"}}, "drain", "n9", api.CodeNodeUnknown)
	f(api.PlanAsk{Undrain: []api.NodeID{"n9"}}, "undrain", "n9", api.CodeNodeUnknown)
	f(api.PlanAsk{Weights: api.PlanWeight{"n9": 2}}, "weights", "n9", api.CodeNodeUnknown)
	f(api.PlanAsk{Add: []api.PlanAdd{{ID: "n3"}}}, "add", "n3", api.CodeConflict)
	f(api.PlanAsk{Add: []api.PlanAdd{{ID: "n1", Address: "127.0.0.1:1"}}}, "add", "n1", api.CodeNodeIDInUse)
	f(api.PlanAsk{Add: []api.PlanAdd{{ID: "n9"}}, Apply: true}, "add", "n9", api.CodeInvalid)
	w := three(t)
	plan := w.propose(api.PlanAsk{Drain: []api.NodeID{"n1", "n2", "n3"}}).Plan
	if len(plan.Blocked) != 1 || plan.Blocked[0].Code != api.CodeLastNode || plan.Moved != 171 {
		t.Errorf("draining all: %+v", plan.Blocked)
	}
}
