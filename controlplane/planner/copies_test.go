package planner

import (
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// TestPlanTellsOfFewerCopies: a plan that leaves too few nodes for all replicas says what becomes of the slots, and
// so does what an operator does without one.
func TestPlanTellsOfFewerCopies(t *testing.T) {
	f := func(replicas, nodes, minInSync int, ask api.PlanAsk, want string) {
		t.Helper()
		w := newManaged(t, replicas, nodes)
		w.apply(fsm.Settings{MinInSync: &minInSync})
		before := w.state
		proposal := w.propose(ask)
		if got := proposal.Plan.Note; got != want {
			t.Errorf("%d replicas on %d nodes, %+v: the plan says %q, want %q", replicas, nodes, ask, got, want)
		}
		w.apply(proposal.Command)
		if got := FewerCopies(before, w.state); got != want {
			t.Errorf("%d replicas on %d nodes, %+v: carried out it says %q, want %q", replicas, nodes, ask, got, want)
		}
		if got := FewerCopies(w.state, w.state); got != "" {
			t.Errorf("where nothing changes it says %q", got)
		}
		if got := FewerCopies(w.state, before); got != "" {
			t.Errorf("with the nodes back it says %q", got)
		}
	}
	drain := func(ids ...api.NodeID) api.PlanAsk { return api.PlanAsk{Drain: ids} }
	const one = "256 slots are left with one copy, not 2: too few nodes remain to hold them"
	f(2, 2, 1, drain("n1"), one)
	f(2, 2, 2, drain("n1"), one+"; writes are refused to slots with fewer than 2 (min_in_sync)")
	f(2, 2, 1, api.PlanAsk{Remove: []api.NodeID{"n2"}}, one)
	f(2, 3, 2, drain("n1"), "")
	f(2, 3, 2, drain("n1", "n3"), one+"; writes are refused to slots with fewer than 2 (min_in_sync)")
	f(3, 3, 2, drain("n1"), "256 slots are left with 2 copies, not 3: too few nodes remain to hold them")
	f(3, 2, 1, drain("n1"), "256 slots are left with one copy, not 3: too few nodes remain to hold them")
	f(1, 2, 1, drain("n1"), "")
	f(2, 2, 1, api.PlanAsk{Weights: api.PlanWeight{"n1": 2}}, "")
}

func TestCopiesAreCountedBySlot(t *testing.T) {
	f := func(left []int, wanted, minInSync int, want string) {
		t.Helper()
		if got := describeFewer(left, wanted, minInSync); got != want {
			t.Errorf("%v: got %q, want %q", left, got, want)
		}
	}
	f([]int{0, 3, 5}, 3, 0, "3 slots are left with one copy, 5 slots are left with 2 copies, not 3: too few nodes remain to hold them")
	f([]int{7, 0, 0}, 3, 2, "")
}
