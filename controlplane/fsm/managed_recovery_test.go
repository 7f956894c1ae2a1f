package fsm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// tells has a node register at its boot-th start and report the configurations that it is in sync in, as of a
// state.
func (h *history) tells(id string, port int, boot uint64, last *State) {
	h.t.Helper()
	session := h.must(stored(id, port, 'a', boot)).Node.Session
	var configs []api.SlotConfig
	for _, config := range last.SlotsSince(0, true) {
		if slices.ContainsFunc(config.ISR, func(r api.Replica) bool { return r.Node == api.NodeID(id) }) {
			configs = append(configs, config)
		}
	}
	h.must(h.state.ReportOfConfigs(api.NodeID(id), session, last.Version(), configs))
}

// restored puts a state back where nothing is known of what came after it, and returns the last one.
func (h *history) restored(saved *State) (last *State) {
	h.t.Helper()
	last, h.state = h.state, saved
	h.reborn(saved)
	return last
}

// TestRestoredSetsReportWhole: no slot is served before every listed node has been heard; then the newest
// in-sync set serves it.
func TestRestoredSetsReportWhole(t *testing.T) {
	h := trio(t, 2)
	saved := h.state
	h.must(Drain{Node: "n1", On: true})
	h.want(h.rows("n2 n3"))
	for _, step := range [][3]string{{"n1", "expand", "n1 n2 n3"}, {"n2", "transfer", "n2 n3"}} {
		if got := h.propose(step[0], 0, step[1], step[2]); got != "" {
			t.Fatal(got)
		}
	}
	last := h.restored(saved)
	const floor = 1 << 32
	if h.state.Recovering() != 256 || h.state.Slot(0).Epoch != floor+1 {
		t.Fatalf("%d recover, slot 0 is %s", h.state.Recovering(), h.shown(0))
	}
	h.tells("n1", 1, 1, saved)
	h.expect(0, "4294967297 [] recovering want [n1 n2]")
	h.tells("n2", 2, 1, last)
	h.expect(0, "4294967298 [] recovering want [n1 n2]") // n2 knows better
	h.expect(3, "4294967297 [] recovering want [n1 n2]") // n3 might
	if h.propose("n2", 0, "abort", "n2 n3") == "" {
		t.Error("a slot that recovers takes a proposal")
	}
	if got := fmt.Sprint(h.state.Awaiting(), h.state.RecoveringFrom("n3"), h.state.RecoveringFrom("n2")); got != "[n3] 256 171" {
		t.Errorf("awaited: %s", got)
	}
	h.tells("n3", 3, 1, last)
	h.expect(0, "4294967299 [n2 n3] want [n1 n2]")
	h.expect(1, "4294967298 [n2 n3] want [n2 n3]")
	h.expect(3, "4294967298 [n1 n2] want [n1 n2]")
	if h.state.Recovers() {
		t.Errorf("still awaited: %v", h.state.Awaiting())
	}
	h.refuse(api.CodeInvalid, Report{Node: "n1", Session: h.state.Node("n1").Session, Version: h.state.Version()})
}

// TestPromotionThatThePrimaryNeverHeardOf: n1 expanded to n2, was taken for down before it heard, and n2 went
// on alone. What n1 reports names n1 alone.
func TestPromotionThatThePrimaryNeverHeardOf(t *testing.T) {
	h := trio(t, 1)
	saved := h.state
	h.want(h.rows("n1 n2"))
	if got := h.propose("n1", 0, "expand", "n1 n2"); got != "" {
		t.Fatal(got)
	}
	h.must(Status{[]Transition{{Node: "n1", Session: h.state.Node("n1").Session, Status: api.NodeDown}}})
	h.expect(0, "3 [n2] want [n1]")
	last := h.restored(saved)
	h.tells("n1", 1, 1, saved)
	h.tells("n3", 3, 1, last)
	h.expect(0, "4294967297 [] recovering want [n1]")
	h.tells("n2", 2, 1, last)
	h.expect(0, "4294967299 [n2] want [n1]")
}

// TestRecoveryWithoutOne: who is declared lost is waited for no more; what only it had is given up.
func TestRecoveryWithoutOne(t *testing.T) {
	h := trio(t, 2)
	last := h.reborn(h.state)
	h.tells("n1", 1, 1, last)
	h.tells("n2", 2, 1, last)
	h.expect(0, "4294967297 [] recovering want [n1 n2]")
	h.expect(2, "4294967297 [] recovering want [n3 n1]")
	h.must(Force{Slot: 5, Node: "n1"})
	h.expect(5, "4294967298 [n1] want [n3 n1]")
	h.refuse(api.CodeConflict, Force{Slot: 8, Node: "n3"}) // not heard of since
	h.refuse(api.CodeLastCopy, Remove{Node: "n3"})
	h.must(Remove{Node: "n3", Force: true})
	if change, _ := h.state.Change(h.newest().ID - 1); !change.Lossy || change.LeavesState != 0 {
		t.Errorf("history says %+v", change)
	}
	h.expect(0, "4294967298 [n1 n2] want [n1 n2]")
	h.expect(2, "4294967298 [n1] want [n1]")
	h.expect(1, "4294967298 [n2] want [n2]")
	if h.state.Recovers() {
		t.Errorf("still awaited: %v", h.state.Awaiting())
	}
}

// TestSlotsNobodyClaims: one that nobody held when the snapshot was taken waits for reports like the others;
// so does one whose only member was given up.
func TestSlotsNobodyClaims(t *testing.T) {
	h := managed(t, 1)
	h.must(stored("n1", 1, 'a', 1))
	h.must(stored("n2", 2, 'a', 1))
	saved := h.state
	h.want(h.rows("n1", "n2"))
	last := h.restored(saved)
	h.expect(0, "4294967297 [] recovering want []")
	h.tells("n1", 1, 1, last)
	h.must(Remove{Node: "n1", Force: true})
	if change := h.newest(); !change.Lossy || change.LeavesState != 128 {
		t.Errorf("history says %+v", change)
	}
	h.expect(0, "4294967298 [] recovering want []")
	h.tells("n2", 2, 1, last)
	h.expect(0, "4294967298 [] want []")
	h.expect(1, "4294967299 [n2] want []")
}

// TestReportsNameNodesThatWereNotRestored: a member that the snapshot does not list is waited for all the same.
func TestReportsNameNodesThatWereNotRestored(t *testing.T) {
	start := func() *history {
		h := managed(t, 2)
		h.must(stored("n1", 1, 'a', 1))
		h.want(h.rows("n1"))
		saved := h.state
		h.must(stored("n2", 2, 'a', 1))
		h.want(h.rows("n1 n2"))
		for slot := range ring.Slot(256) {
			h.propose("n1", slot, "expand", "n1 n2")
		}
		last := h.restored(saved)
		h.tells("n1", 1, 1, last)
		h.expect(0, "4294967298 [] recovering want [n1]")
		if got := h.state.RecoveringFrom("n2"); got != 256 {
			t.Fatalf("%d slots wait for n2", got)
		}
		return h
	}
	h := start()
	last := h.state
	session := h.must(stored("n2", 2, 'a', 2)).Node.Session
	if !h.state.Node("n2").Awaited {
		t.Error("n2 is not asked to report")
	}
	h.must(last.ReportOfConfigs("n2", session, api.Version{Generation: 1}, nil))
	h.expect(0, "4294967299 [n1 n2] want [n1]")
	h = start()
	h.must(Remove{Node: "n2", Force: true})
	h.expect(0, "4294967299 [n1] want [n1]")
	if change, _ := h.state.Change(h.newest().ID - 1); change.Kind != "remove" || !change.Lossy {
		t.Errorf("history says %+v", change)
	}
}

// TestRestoreKnowsWhatItReplaces: a restore over a state that knows better waits for those which that one names,
// be they listed in the snapshot or not, and though nobody else can tell of them.
func TestRestoreKnowsWhatItReplaces(t *testing.T) {
	h := managed(t, 1)
	h.must(stored("n1", 1, 'a', 1))
	h.want(h.rows("n1"))
	saved := h.state
	h.must(stored("n2", 2, 'a', 1))
	h.want(h.rows("n2"))
	for _, step := range [][3]string{{"n1", "expand", "n1 n2"}, {"n2", "transfer", "n2"}} {
		if got := h.propose(step[0], 0, step[1], step[2]); got != "" {
			t.Fatal(got)
		}
	}
	last := h.reborn(saved)
	h.tells("n1", 1, 1, saved)
	h.expect(0, "4294967297 [] recovering want [n1]")
	h.expect(1, "4294967298 [n1] want [n1]")
	h.tells("n2", 2, 1, last)
	h.expect(0, "4294967298 [n2] want [n1]")
	again := h.reborn(saved) // and once more, from a state of the first generation
	h.tells("n1", 1, 1, again)
	h.expect(0, "8589934593 [] recovering want [n1]")
}

func TestReportedSetsThatCannotBe(t *testing.T) {
	h := trio(t, 2)
	h.reborn(h.state)
	session := h.must(stored("n1", 1, 'a', 1)).Node.Session
	f := func(edit func(*api.SlotConfig)) {
		t.Helper()
		config := api.SlotConfig{Slot: 1, Epoch: 9, Primary: "n1", ISR: h.members("n1 n2")}
		edit(&config)
		h.refuse(api.CodeInvalid, Report{Node: "n1", Session: session, Version: api.Version{Generation: 1}, Configs: []api.SlotConfig{config}})
	}
	f(func(c *api.SlotConfig) { c.Slot = 256 })
	f(func(c *api.SlotConfig) { c.Epoch = 1<<32 + 1 })
	f(func(c *api.SlotConfig) { c.ISR = nil })
	f(func(c *api.SlotConfig) { c.Primary = "n3" })
	f(func(c *api.SlotConfig) { c.ISR = h.members("n1 n1") })
	f(func(c *api.SlotConfig) { c.ISR[1].Node = "no spaces" })
}

func TestRunningChangesEndWithTheirGeneration(t *testing.T) {
	h := trio(t, 1)
	h.must(Drain{Node: "n1", On: true})
	h.want(h.rows("n2"))
	running := h.newest().ID
	h.reborn(h.state)
	if change, _ := h.state.Change(running); change.Status != api.ChangeSuperseded {
		t.Errorf("the drain is %s", change.Status)
	}
}

// TestPlanThatRemoves: what a node has goes to its other replicas in the command that takes it off the list.
func TestPlanThatRemoves(t *testing.T) {
	h := trio(t, 2)
	rows := h.rows("n2 n3")
	h.must(Arrange{Base: h.state.PlanBase(), Seen: h.state.lastID, Edits: Edits{Remove: []api.NodeID{"n1"}}, Want: PackWant(rows)})
	h.expect(0, "2 [n2] want [n2 n3]")
	h.expect(2, "2 [n3] want [n2 n3]")
	if change := h.newest(); change.Kind != "plan" || change.Status != api.ChangeRunning || change.Lossy || h.state.Node("n1") != nil {
		t.Errorf("history says %+v", change)
	}
	lone := trio(t, 1)
	lone.refuse(api.CodeLastCopy, Arrange{Base: lone.state.PlanBase(), Seen: lone.state.lastID, Edits: Edits{Remove: []api.NodeID{"n1"}}, Want: PackWant(lone.rows("n2"))})
	lone.must(Arrange{Base: lone.state.PlanBase(), Seen: lone.state.lastID, Edits: Edits{Remove: []api.NodeID{"n1"}, Force: true}, Want: PackWant(lone.rows("n2"))})
	lone.expect(0, "3 [n2] want [n2]")
	if change := lone.newest(); !change.Lossy || change.LeavesState != 86 {
		t.Errorf("history says %+v", change)
	}
}

func TestNodesAsSlotsSeeThem(t *testing.T) {
	h := trio(t, 2)
	f := func(news bool, command Command) {
		t.Helper()
		h.must(command)
		if got := h.state.SlotsIndex() == h.state.Index; got != news {
			t.Errorf("%T: news %t, want %t", command, got, news)
		}
	}
	weight := 3
	f(false, Patch{Node: "n1", Patch: api.NodePatch{Weight: &weight}})
	f(false, Rebalance{})
	f(true, Status{[]Transition{{Node: "n1", Session: h.state.Node("n1").Session, Status: api.NodeDown, Left: true}}})
	nodes := h.state.SlotNodes()
	if len(nodes) != 3 || nodes[0] != (api.SlotNode{ID: "n1", Address: "127.0.0.1:1", Store: storeOf("n1", 'a'), Status: api.NodeDown, Left: true}) {
		t.Errorf("got %+v", nodes)
	}
	f(true, stored("n1", 1, 'a', 2))
	f(true, stored("n1", 1, 'a', 3)) // a session of its own
	least, toomany := 1, 9
	f(true, Settings{MinInSync: &least})
	h.refuse(api.CodeInvalid, Settings{MinInSync: &toomany})
}
