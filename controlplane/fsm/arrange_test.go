package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// randomArrange edits some nodes and gives the slots to any that stay.
func randomArrange(random *rand.Rand, state *State) Command {
	id := func() api.NodeID { return api.NodeID(fmt.Sprintf("n%d", random.IntN(8))) }
	weight := random.IntN(5)
	edits := Edits{Force: random.IntN(2) == 0}
	for range 1 + random.IntN(3) {
		switch random.IntN(5) {
		case 0:
			edits.Add = append(edits.Add, node(string(id()), 100+random.IntN(8)))
		case 1:
			edits.Remove = append(edits.Remove, id())
		case 2:
			edits.Drain = append(edits.Drain, id())
		case 3:
			edits.Undrain = append(edits.Undrain, id())
		case 4:
			edits.Patch = append(edits.Patch, Patch{Node: id(), Patch: api.NodePatch{Weight: &weight}})
		}
	}
	after, done, _ := state.Edited(edits)
	command := Arrange{Base: state.Number, Seen: state.lastID, Edits: done, Settle: state.pending}
	if random.IntN(8) == 0 {
		command.Edits = edits // with what cannot be done
	}
	command.Want = PackWant(evenly(after))
	return command
}

// evenly gives the slots to the nodes that take some, in turn.
func evenly(state *State) []ring.NodeIndex {
	want, takers := make([]ring.NodeIndex, state.SlotCount()), []ring.NodeIndex{ring.NoNode}
	for _, node := range state.Nodes() {
		if node.Takes() {
			takers = append(takers, node.Index)
		}
	}
	if len(takers) > 1 {
		takers = takers[1:]
	}
	for slot := range want {
		want[slot] = takers[slot%len(takers)]
	}
	return want
}

// arrangement is a plan with everything even, for edits that can be made.
func (h *history) arrangement(edits Edits) Arrange {
	h.t.Helper()
	after, done, refused := h.state.Edited(edits)
	if len(refused) > 0 {
		h.t.Fatalf("%+v: %v", refused[0], refused[0].Problem)
	}
	return Arrange{Base: h.state.Number, Seen: h.state.lastID, Edits: done, Settle: h.state.pending, Want: PackWant(evenly(after))}
}

// pair is a ring of two nodes that wait.
func pair(t testing.TB) *history {
	h := newHistory(t)
	h.must(Register{node("n1", 1)})
	h.must(Register{node("n2", 2)})
	h.spread("n1", "n2")
	return h
}

func TestArrangeIsOneChangeAndOneVersion(t *testing.T) {
	h := pair(t)
	h.must(Register{node("n3", 3)})
	joined := h.state.lastID
	weight := 3
	before := h.state
	h.must(h.arrangement(Edits{
		Add:   []api.Registration{node("n4", 4), node("n5", 5)},
		Patch: []Patch{{Node: "n3", Patch: api.NodePatch{Weight: &weight}}}, Remove: []api.NodeID{"n1"}, Drain: []api.NodeID{"n2"}, Force: true,
	}))
	if h.state.Number != before.Number+1 || h.state.lastID != joined+1 {
		t.Fatalf("made versions %d to %d, changes %d to %d", before.Number, h.state.Number, joined, h.state.lastID)
	}
	change, _ := h.state.Change(h.state.lastID)
	if got := change.Show(); got.Kind != "plan" || got.Cause != "add n4, add n5, remove n1, drain n2, weight n3=3" || got.Status != api.ChangeDone ||
		!got.Lossy || got.LeavesState != 256 || got.Progress.Total != 256 || got.First != h.state.Version() || got.Last != h.state.Version() {
		t.Errorf("history says %+v", got)
	}
	if earlier, _ := h.state.Change(joined); earlier.Status != api.ChangeDone || len(h.state.pending) != 0 {
		t.Errorf("the pending join is %+v", earlier)
	}
	versions, _ := h.state.Versions(0, 1)
	if versions[0].Cause != change.Words || versions[0].Change != change.ID {
		t.Errorf("the version says %+v", versions[0])
	}
	if h.state.Node("n1") != nil || !h.state.Node("n2").Draining || h.state.Node("n3").Registration.Weight != 3 || h.state.Node("n5") == nil {
		t.Error("not all edits were made")
	}
}

func TestArrangeRefusals(t *testing.T) {
	h := pair(t)
	good := h.arrangement(Edits{})
	f := func(code api.Code, edit func(*Arrange)) {
		t.Helper()
		command := good
		edit(&command)
		h.refuse(code, command)
	}
	f(api.CodeConflict, func(a *Arrange) { a.Base-- })
	f(api.CodeConflict, func(a *Arrange) { a.Seen-- })
	f(api.CodeConflict, func(a *Arrange) { a.Settle = []api.ChangeID{1} })
	f(api.CodeInvalid, func(a *Arrange) { a.Want = a.Want[2:] })
	f(api.CodeInvalid, func(a *Arrange) { a.Want = bytes.Repeat([]byte{0, 9}, 256) })
	f(api.CodeLastCopy, func(a *Arrange) { a.Edits.Remove = []api.NodeID{"n1"} })
	f(api.CodeNodeUnknown, func(a *Arrange) { a.Edits.Drain = []api.NodeID{"n9"} })
	f(api.CodeConflict, func(a *Arrange) { a.Edits.Add = []api.Registration{node("n1", 1)} })
	f(api.CodeAddressInUse, func(a *Arrange) { a.Edits.Add = []api.Registration{node("n9", 1)} })
	f(api.CodeInvalid, func(a *Arrange) { // the want still names the node that goes
		a.Edits = Edits{Remove: []api.NodeID{"n1"}, Force: true}
	})
	h.must(good)
}

// TestPreviewLeavesTheState: what is tried out is in nobody's way, not even when two try at once.
func TestPreviewLeavesTheState(t *testing.T) {
	h := pair(t)
	was := encode(t, h.state)
	command := h.arrangement(Edits{Add: []api.Registration{node("n3", 3)}})
	first, result := h.state.Preview(command)
	second, _ := h.state.Preview(command)
	if result.Problem != nil || !bytes.Equal(encode(t, first), encode(t, second)) || !bytes.Equal(encode(t, h.state), was) {
		t.Fatalf("a preview left traces: %v", result.Problem)
	}
	h.must(command)
	if h.state.Table().Digest() != first.Table().Digest() {
		t.Error("the preview and what was applied differ")
	}
	if !bytes.Equal(encode(t, first), encode(t, second)) {
		t.Error("what was applied reached the preview")
	}
}

func TestLongCausesAreCut(t *testing.T) {
	var edits Edits
	for i := range 20 {
		edits.Drain = append(edits.Drain, api.NodeID(fmt.Sprintf("n%d", i)))
	}
	want := "drain n0, drain n1, drain n2, drain n3, drain n4, drain n5, drain n6, drain n7, and 12 more"
	if got := (Arrange{Edits: edits}).words(); got != want {
		t.Errorf("got %q", got)
	}
}

func TestMaintenanceOfNodes(t *testing.T) {
	h := pair(t)
	h.refuse(api.CodeNodeUnknown, Maintenance{Node: "n9", For: api.Duration(time.Minute)})
	h.refuse(api.CodeInvalid, Maintenance{Node: "n1", For: -1})
	h.refuse(api.CodeInvalid, Maintenance{Node: "n1", For: api.Duration(api.MaintenanceMax) + 1})
	if result := h.must(Maintenance{Node: "n1"}); result.Change != 0 || result.Note == "" {
		t.Errorf("ending none: %+v", result)
	}
	version := h.state.Version()
	h.must(Maintenance{Node: "n1", For: api.Duration(time.Second)})
	known, now := h.state.Node("n1"), h.state.Time()
	if !known.Maintained(now) || known.Maintained(now.Add(time.Second)) || h.state.Version() != version {
		t.Errorf("got %+v at %v", known, h.state.Version())
	}
	h.must(Register{known.Registration}) // a restart does not end it
	h.must(Maintenance{Node: "n1"})
	if h.state.Node("n1").Maintained(h.state.Time()) {
		t.Error("it did not end")
	}
	change, _ := h.state.Change(h.state.lastID)
	if change.cause() != "maintenance n1" || change.Detail != "ended" {
		t.Errorf("history says %+v", change)
	}
}
