package replication

import (
	"context"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// After a restore the control plane may give a slot to others before it has heard what this store holds of it.
// The store keeps it, whatever it is told, until it has registered in the new generation.
func TestNothingIsGivenUpBeforeItIsReported(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	actors := cast(st, 2)
	a := actors[0]
	st.want(7, "n1")
	a.put(t, 7, "a", "1")
	st.mu.Lock()
	st.configs = map[api.Slot]api.SlotConfig{} // what is told below comes from elsewhere
	nodes := []api.SlotNode{st.nodes["n1"], st.nodes["n2"]}
	st.mu.Unlock()
	epoch := api.EpochFloor(2) + 2
	other := actors[1].self
	cursor := api.SlotCursor{Generation: 2, Index: 5}
	a.Learn(api.SlotFeed{Cursor: cursor, Settings: st.settings, Nodes: nodes, Slots: []api.SlotConfig{
		{Slot: 7, Epoch: epoch, Primary: "n2", ISR: []api.Replica{other}, Want: []api.NodeID{"n2"}},
	}})
	s := a.slot(7)
	s.onStart(other, Start{SlotEpoch: s.inEpoch(epoch), Primary: other, ISR: []member{other}, History: []ownership.EpochStart{{Epoch: epoch, Start: 1}}})
	for range 5 {
		a.attend(s)
		s.step(time.Now())
	}
	if got := a.service.get(7, "a"); got != "1" || a.Where(7).Place == PlaceHere {
		t.Fatalf("%q is left, %+v", got, a.Where(7))
	}
	a.Registered(api.SlotCursor{Generation: 2, Index: 9})
	a.Learn(api.SlotFeed{Cursor: api.SlotCursor{Generation: 2, Index: 10}, Settings: st.settings, Nodes: nodes, Slots: []api.SlotConfig{
		{Slot: 7, Epoch: epoch, Primary: "n2", ISR: []api.Replica{other}, Want: []api.NodeID{"n2"}},
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for a.service.get(7, "a") != "" {
		select {
		case <-ctx.Done():
			t.Fatalf("it is never given up: %s", s.dump())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
