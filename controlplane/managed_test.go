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

// TestCopyOfStoreIsRefused: a copy of a node's data folder that is started elsewhere does not take the place of the node
// while that is heard of. The same process may move, and so may a later start of one that fell silent.
func TestCopyOfStoreIsRefused(t *testing.T) {
	l := newLone(t, func(config *Config) {
		config.Settings.State, config.Settings.SlotBits = api.StateManaged, api.SlotBitsMin
	})
	original := api.Registration{
		ID: "n1", Address: "127.0.0.1:1", State: api.StateManaged, StoreID: api.StoreID(strings.Repeat("a", 32)), Boot: 1, Nonce: "x",
	}
	if _, err := l.Propose(t.Context(), fsm.By("test"), fsm.Register{Registration: original}); err != nil {
		t.Fatal(err)
	}
	f := func(name string, asked api.Registration, heard time.Duration, want api.Code) {
		t.Helper()
		now := time.Now()
		if problem := l.Beat("n1", api.Beat{}, now.Add(-heard)); problem != nil {
			t.Fatal(problem)
		}
		got := api.Code("")
		if problem := l.checkCopy(asked, now); problem != nil {
			got = problem.Code
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	copied, restarted, moved := original, original, original
	copied.Boot, copied.Nonce, copied.Address = 2, "y", "127.0.0.1:2"
	restarted.Boot, restarted.Nonce = 2, "y"
	moved.Address = "127.0.0.1:2"
	f("a copy", copied, 0, api.CodeNodeAlive)
	f("a copy, a moment later", copied, storeQuiet-time.Millisecond, api.CodeNodeAlive)
	f("the store on another machine", copied, storeQuiet, "")
	f("a restart", restarted, 0, "")
	f("the same process", moved, 0, "")
	f("a node that is not listed", api.Registration{ID: "n2", StoreID: original.StoreID}, 0, "")
}
