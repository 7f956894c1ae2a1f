package planner

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

func TestRollbackRestoresSlotForSlot(t *testing.T) {
	w := three(t)
	back := w.state.NewestChange()
	was := w.state.Table().Owners
	w.carryOut(w.propose(api.PlanAsk{Add: []api.PlanAdd{{ID: "n9"}}, Weights: api.PlanWeight{"n2": 5}}))
	w.rollback(back)
	if !slices.Equal(w.state.Table().Owners, was) {
		t.Fatal("the ring is not as it was")
	}
	newest, _ := w.state.Change(w.state.NewestChange())
	if shown := newest.Show(); shown.Kind != "rollback" || shown.Cause != fmt.Sprintf("rollback to change %d", back) {
		t.Errorf("history says %+v", shown)
	}
	if w.state.Node("n2").Registration.Weight != 5 {
		t.Error("a rollback changed a weight")
	}
}

func (w *world) rollback(to api.ChangeID) api.RingPlan {
	w.t.Helper()
	proposal, problem := Rollback(w.state, to, w.pendingOf())
	if problem != nil {
		w.t.Fatal(problem)
	}
	w.carryOut(proposal)
	return proposal.Plan
}

// TestRollbackFillsWhatIsGone: slots of nodes that are gone go to others, the rest stays as written; a
// node that registered anew is the same.
func TestRollbackFillsWhatIsGone(t *testing.T) {
	w := three(t)
	back := w.state.NewestChange()
	was := slices.Clone(w.state.Table().Owners)
	w.apply(fsm.Remove{Node: "n1", Force: true})
	w.settle()
	w.apply(fsm.Drain{Node: "n2", On: true})
	w.settle()
	w.expectHeld("n2:0", "n3:256")
	if plan := w.rollback(back); plan.Changes && plan.Moved != 0 {
		t.Errorf("only n3 can hold slots, and %d moved", plan.Moved)
	}
	w.apply(fsm.Drain{Node: "n2"})
	w.apply(fsm.Register{Registration: api.Registration{ID: "n1", Address: "127.0.0.9:1"}})
	w.rollback(back)
	if !slices.Equal(w.state.Table().Owners, was) {
		t.Fatal("the ring is not as it was")
	}
}

func TestRollbackRefusals(t *testing.T) {
	w := three(t)
	f := func(to api.ChangeID, code api.Code, next bool) {
		t.Helper()
		_, problem := Rollback(w.state, to, nil)
		if problem == nil || problem.Code != code || (problem.Next != "") != next {
			t.Errorf("change %d: %+v", to, problem)
		}
	}
	planned := w.state.NewestChange()
	w.apply(fsm.Settings{NoKey: api.NoKeyAny})
	w.register("n4", api.OnDownWait)
	f(99, api.CodeChangeUnknown, false)
	f(1, api.CodeInvalid, false)
	f(planned+1, api.CodeInvalid, true)
	f(planned+2, api.CodeConflict, false)
	for range 1001 {
		w.apply(fsm.Settings{NoKey: api.NoKeyReject})
		w.apply(fsm.Settings{NoKey: api.NoKeyAny})
	}
	f(planned, api.CodeChangeGone, false)
}
