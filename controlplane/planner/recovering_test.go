package planner

import (
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// TestRecoveringSlotsAreLeftAlone: after a restore only what nobody need be asked about is planned,
// even for a person who asks for all of it to move.
func TestRecoveringSlotsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.register("n1", api.OnDownWait)
	w.register("n2", api.OnDownReset)
	w.now = w.now.Add(time.Minute)
	if moved := w.settle(); moved != 256 {
		t.Fatalf("%d slots were given out", moved)
	}
	w.state = w.state.Reborn(w.state, fsm.Rebirth{Kind: "restore", Time: w.now, Level: fsm.LevelSupported})
	waiting := w.state.Recovering()
	if waiting == 0 || waiting == 256 || !w.state.MayReport() {
		t.Fatalf("%d slots recover", waiting)
	}
	proposal, problem := Propose(w.state, api.PlanAsk{Remove: []api.NodeID{"n1"}, Force: true}, nil)
	if blocked := proposal.Plan.Blocked; problem != nil || len(blocked) != 1 || blocked[0].Code != api.CodeConflict || len(proposal.Command.Edits.Remove) > 0 {
		t.Errorf("a plan gives up a node that is waited for: blocked %+v, %v", blocked, problem)
	}
	w.register("n3", api.OnDownReset)
	w.apply(fsm.Rebalance{})
	w.now = w.now.Add(time.Minute)
	if moved := w.settle(); moved != 2*(256-waiting)/3 || w.state.Recovering() != waiting {
		t.Errorf("%d of %d slots moved, %d recover", moved, 256-waiting, w.state.Recovering())
	}
	w.register("n1", api.OnDownWait) // it does not report: its word is taken
	if w.state.Recovering() != 0 {
		t.Fatalf("%d slots recover", w.state.Recovering())
	}
	w.apply(fsm.Register{Registration: api.Registration{ID: "n2", Address: "127.0.0.1:2000", OnDown: api.OnDownReset}})
	if moved := w.settle(); moved < 0 {
		t.Error("nothing was planned when the last word was in")
	}
}
