package fsm

import (
	"fmt"
	"runtime"
	"testing"
	"weak"

	"github.com/stead-io/stead/api"
)

// TestStatesLetGoOfTheirPredecessors: a state that nobody looks at any more is collected, however many
// came after it.
func TestStatesLetGoOfTheirPredecessors(t *testing.T) {
	h := newHistory(t)
	early := weak.Make(h.state)
	for i := range 3 {
		h.must(Register{Registration: node(fmt.Sprintf("n%d", i), 1000+i)})
	}
	runtime.GC()
	runtime.GC()
	if early.Value() != nil {
		t.Error("the state before three commands is still held")
	}
	runtime.KeepAlive(h.state)
}

// TestChangesWaitToBeAnswered: from level 2 on, history forgets no change that the planner has yet to
// answer, and forgets it once it is answered.
func TestChangesWaitToBeAnswered(t *testing.T) {
	for level, want := range map[int]int{1: changesKept, 2: changesKept + 50} {
		h := newHistory(t)
		h.must(Level{Level: level})
		for i := range changesKept + 50 {
			h.quick(Register{Registration: node(fmt.Sprintf("n%d", i), 1000+i)})
		}
		if pending := len(h.state.Pending()); pending != want {
			t.Errorf("level %d: %d changes wait, want %d", level, pending, want)
		}
		var all []api.ChangeID
		for _, change := range h.state.Pending() {
			all = append(all, change.ID)
		}
		h.must(Hold{Changes: all})
		h.must(Rebalance{})
		if kept, _ := h.state.Changes(0, 2*changesKept); len(kept) != changesKept {
			t.Errorf("level %d: %d changes are kept", level, len(kept))
		}
	}
}

// quick applies a command without the check of all invariants.
func (h *history) quick(command Command) {
	h.t.Helper()
	h.clock += 10
	entry, err := Encode(Header{Time: h.clock, Origin: By("test")}, command)
	if err != nil {
		h.t.Fatal(err)
	}
	next, result, err := Apply(h.state, h.state.Index+1, entry)
	if err != nil || result.Problem != nil {
		h.t.Fatal(err, result.Problem)
	}
	h.state = next
}
