package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// caches is a ring of as many nodes that reset.
func caches(t *testing.T, count int) *world {
	w := newWorld(t)
	for i := range count {
		w.register(fmt.Sprintf("n%d", i+1), api.OnDownReset)
	}
	w.now = w.now.Add(time.Minute)
	w.settle()
	return w
}

func (w *world) maintain(id string, lasts time.Duration) {
	w.t.Helper()
	w.apply(fsm.Maintenance{Node: api.NodeID(id), For: api.Duration(lasts)})
}

func TestMaintenanceKeepsSlotsUntilItEnds(t *testing.T) {
	w := caches(t, 4)
	w.maintain("n1", 15*time.Minute)
	w.down("n1")
	w.expectMoved(w.settle(), -1)
	w.expectHeld("n1:64", "n2:64", "n3:64", "n4:64")
	agenda := Due(w.state, policy, w.seen, w.now)
	if want := 15*time.Minute - time.Millisecond; agenda.Wait != want || len(agenda.Hold) != 0 {
		t.Fatalf("got %+v, want to wait %v", agenda, want)
	}
	w.apply(fsm.Rebalance{}) // other plans leave it alone, too
	w.expectMoved(w.settle(), 0)
	w.expectHeld("n1:64", "n2:64", "n3:64", "n4:64")
	w.now = w.now.Add(15 * time.Minute)
	w.expectMoved(w.settle(), 64)
	change, _ := w.state.Change(w.state.NewestChange() - 1)
	if change.Kind != "expire" || change.Status != api.ChangeDone || !change.Lossy {
		t.Errorf("got %+v", change)
	}
}

func TestMaintenanceEndedByHand(t *testing.T) {
	w := caches(t, 4)
	w.maintain("n1", 15*time.Minute)
	w.down("n1")
	w.expectMoved(w.settle(), -1)
	w.maintain("n1", 0)
	w.expectMoved(w.settle(), 64)
	w.expectHeld("n1:0", "n2:86", "n3:85", "n4:85")
}

// TestBackFromMaintenance: the expiry is void once the node is back, and nothing moves.
func TestBackFromMaintenance(t *testing.T) {
	w := caches(t, 3)
	w.maintain("n1", 15*time.Minute)
	w.down("n1")
	expired := w.state.NewestChange()
	w.settle()
	w.apply(fsm.Register{Registration: w.state.Node("n1").Registration})
	if change, _ := w.state.Change(expired); change.Status != api.ChangeSuperseded {
		t.Errorf("the expiry is %s", change.Status)
	}
	w.now = w.now.Add(time.Hour)
	w.expectMoved(w.settle(), 0)
	w.down("n1") // long after: no maintenance any more
	if w.settle() <= 0 {
		t.Error("the end of the maintenance was not noticed")
	}
}

// TestDrainDuringMaintenance: a person's word moves the slots of a node that is away.
func TestDrainDuringMaintenance(t *testing.T) {
	w := caches(t, 4)
	w.maintain("n1", 15*time.Minute)
	w.down("n1")
	w.settle()
	w.apply(fsm.Drain{Node: "n1", On: true})
	w.expectMoved(w.settle(), 64)
	if pending := w.state.Pending(); len(pending) != 0 {
		t.Errorf("still pending: %+v", pending)
	}
	w.down("n2") // the drained one counts for nothing
	w.expectMoved(w.settle(), 86)
}

// TestGovernorCountsFromTheEndOfMaintenance: nodes in maintenance are not counted; when it ends for all
// of them at once and they stay away, that is many vanishing at once.
func TestGovernorCountsFromTheEndOfMaintenance(t *testing.T) {
	w := caches(t, 8)
	for _, id := range []string{"n1", "n2", "n3", "n4", "n5"} {
		w.maintain(id, 10*time.Minute)
		w.down(id)
	}
	w.expectMoved(w.settle(), -1)
	w.down("n6") // one beside them is an ordinary death
	w.expectMoved(w.settle(), 32)
	w.now = w.now.Add(10 * time.Minute)
	w.settle()
	for range 5 {
		w.now = w.now.Add(time.Second)
		w.settle()
	}
	if held := len(w.state.HeldChanges()); held != 3 {
		t.Errorf("%d changes are held, want 3: two of eight may go", held)
	}
}

// TestMaintenanceByTheStatesClock: a leader whose clock is behind does not end it late, nor one ahead.
func TestMaintenanceByTheStatesClock(t *testing.T) {
	w := caches(t, 4)
	w.maintain("n1", 15*time.Minute)
	w.down("n1")
	w.apply(fsm.Rebalance{})
	behind := w.now.Add(-time.Hour)
	agenda := Due(w.state, policy, w.seen, behind)
	if agenda.Wait <= 0 || agenda.Wait > 15*time.Minute {
		t.Errorf("a leader with a slow clock waits %v", agenda.Wait)
	}
}
