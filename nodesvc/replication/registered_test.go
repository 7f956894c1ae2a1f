package replication

import (
	"testing"

	"github.com/stead-io/stead/api"
)

// Registering gives a new process its slots anew. It may be told so before it hears that it is registered, and is
// not told again.
func TestToldBeforeTheAnswerToRegistering(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	a := cast(st, 1)[0]
	a.registered.Store(unregistered)
	told := api.SlotConfig{Slot: 9, Epoch: 3, Primary: "n1", ISR: []api.Replica{a.self}, Want: []api.NodeID{"n1"}}
	a.slot(9).learn(told, order(api.SlotCursor{Generation: 1, Index: 900}))
	if a.Where(9).Place == PlaceHere {
		t.Fatal("it serves before it is registered")
	}
	a.Registered(api.SlotCursor{Generation: 1, Index: 900})
	if a.Where(9).Place == PlaceElsewhere {
		t.Error("it never serves what it was told before")
	}
}
