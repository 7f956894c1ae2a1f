package fsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestMemoryThatIsGone(t *testing.T) {
	start := func(onLastCopy api.OnLastCopy, replicas int) *history {
		h := managed(t, replicas)
		h.must(Settings{OnLastCopy: &onLastCopy})
		h.must(inMemory("n1", 1, 'a'))
		h.must(inMemory("n2", 2, 'a'))
		h.want(h.rows("n1 n2", "n2 n1"))
		h.status("n1", api.NodeSuspect)
		h.must(inMemory("n1", 1, 'b'))
		return h
	}
	h := start(api.OnLastCopyWait, 2)
	h.expect(0, "2 [n2] want [n1 n2]")
	h.expect(1, "2 [n2] want [n2 n1]")
	if change := h.newest(); change.Kind != "replace" || change.Lossy {
		t.Errorf("history says %+v", change)
	}
	h = start(api.OnLastCopyWait, 1)
	h.expect(0, "1 [n1] want [n1]")
	if got := h.propose("n1", 0, "abort", "n1"); got == "" {
		t.Error("the new store is taken for the old one")
	}
	h.must(Force{Slot: 0, Node: "n1"})
	h.expect(0, "2 [n1] want [n1]")
	if change := h.newest(); !change.Lossy || !strings.Contains(change.Detail, "unfenced") || change.cause() != "force slot 0 to n1" {
		t.Errorf("history says %+v", change)
	}
	h = start(api.OnLastCopyRecreate, 1)
	h.expect(0, "2 [n1] want [n1]")
	h.expect(1, "1 [n2] want [n2]")
	if change := h.newest(); !change.Lossy || h.state.SlotConfig(0).ISR[0].Store != storeOf("n1", 'b') {
		t.Errorf("history says %+v", change)
	}
}

// TestMemoryThatIsGoneEverywhere: all processes that held a slot in memory end at once. Its last copy is gone when the
// last of them is followed by a new one, in whatever order they are.
func TestMemoryThatIsGoneEverywhere(t *testing.T) {
	f := func(onLastCopy api.OnLastCopy, first, second string, anew bool) {
		t.Helper()
		h := managed(t, 2)
		h.must(Settings{OnLastCopy: &onLastCopy})
		h.must(inMemory("n1", 1, 'a'))
		h.must(inMemory("n2", 2, 'a'))
		h.want(h.rows("n1 n2", "n2 n1"))
		var ended []Transition
		for _, id := range []api.NodeID{"n1", "n2"} {
			ended = append(ended, Transition{Node: id, Session: h.state.Node(id).Session, Status: api.NodeDown})
		}
		h.must(Status{ended})
		ports := map[string]int{"n1": 1, "n2": 2}
		h.must(inMemory(first, ports[first], 'b'))
		if change := h.newest(); change.Lossy {
			t.Errorf("%s came first: history says %+v while another may have the slots", first, change)
		}
		h.must(inMemory(second, ports[second], 'b'))
		if change := h.newest(); change.Lossy != anew || !strings.Contains(change.Detail, fmt.Sprint(h.state.SlotCount())) {
			t.Errorf("%s came last: history says %+v of %d slots", second, change, h.state.SlotCount())
		}
		for slot := range h.state.SlotCount() {
			config := h.state.SlotConfig(api.Slot(slot))
			if served := config.PrimaryReplica().Store == storeOf(string(config.Primary), 'b'); served != anew {
				t.Fatalf("%s came first: slot %d is %+v", first, slot, config)
			}
		}
	}
	f(api.OnLastCopyRecreate, "n1", "n2", true)
	f(api.OnLastCopyRecreate, "n2", "n1", true)
	f(api.OnLastCopyWait, "n1", "n2", false)
}
