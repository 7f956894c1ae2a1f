package controlplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// TestManagedNodesAreReplaced: of three nodes with two replicas a slot, one falls silent. Its slots are served
// by the others at once, and they take over its part of the ring after a while.
func TestManagedNodesAreReplaced(t *testing.T) {
	l := newLone(t, func(config *Config) {
		config.Settings.State, config.Settings.Replicas, config.Settings.SlotBits = api.StateManaged, 2, api.SlotBitsMin
		config.ReplaceAfter, config.EvictShare = api.TTLDefault, 0.5
	})
	for i := range 3 {
		registration := api.Registration{
			ID: api.NodeID(fmt.Sprintf("n%d", i+1)), Address: fmt.Sprintf("127.0.0.1:%d", i+1), TTL: api.Duration(api.TTLMin),
			State: api.StateManaged, StoreID: api.StoreID(strings.Repeat(fmt.Sprint(i), 32)), Boot: 1, Nonce: "x",
		}
		if _, err := l.Propose(t.Context(), fsm.By("test"), fsm.Register{Registration: registration}); err != nil {
			t.Fatal(err)
		}
	}
	alive := []api.NodeID{"n1", "n2", "n3"}
	beating := func(reached func(*fsm.State) bool) {
		t.Helper()
		l.await(func() bool {
			for _, id := range alive {
				if problem := l.Beat(id, api.Beat{}, time.Now()); problem != nil {
					t.Fatal(problem)
				}
			}
			return reached(l.State())
		})
	}
	beating(func(state *fsm.State) bool { return len(state.SlotsHeld()) == 3 })
	index := l.State().Node("n3").Index
	alive = alive[:2]
	beating(func(state *fsm.State) bool { return state.SlotsHeld()[index] == 0 })
	if node := l.State().Node("n3"); node.Status != api.NodeDown || node.Out {
		t.Errorf("after its slots were taken n3 is %+v", node)
	}
	beating(func(state *fsm.State) bool { return len(state.Pending()) == 0 && state.Node("n3").Out })
	for _, slot := range l.State().SlotsSince(0, true) {
		if len(slot.Want) != 2 || slot.Want[0] == "n3" || slot.Want[1] == "n3" {
			t.Fatalf("slot %d is wanted on %v", slot.Slot, slot.Want)
		}
	}
}
