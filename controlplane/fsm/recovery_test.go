package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// reporting is a registration of a node that says what it last acted on.
func reporting(id string, port int) Register {
	registration := node(id, port)
	registration.Reports = true
	return Register{registration}
}

func atLevel2(t testing.TB) *history {
	h := newHistory(t)
	h.must(Level{Level: 2})
	return h
}

// reborn restores from into h, and checks the invariants.
func (h *history) reborn(from *State) *State {
	h.t.Helper()
	before := h.state
	h.clock += 10
	h.state = h.state.Reborn(from, Rebirth{Kind: "restore", Actor: "ann", Time: time.UnixMilli(h.clock), Detail: "test"})
	if err := h.state.Check(); err != nil {
		h.t.Fatal(err)
	}
	if h.state.Version().Compare(before.Version()) <= 0 || h.state.Version().Compare(from.Version()) <= 0 || h.state.Number <= before.Number {
		h.t.Fatalf("%s follows %s and %s", h.state.Version(), before.Version(), from.Version())
	}
	if h.state.NewestChange() <= before.NewestChange() || h.state.Index <= before.Index || h.state.Clock < before.Clock {
		h.t.Fatalf("ids, index or clock ran backwards: %d %d %d", h.state.NewestChange(), h.state.Index, h.state.Clock)
	}
	return before
}

// reports has a node register and say what it last acted on.
func (h *history) reports(id string, port int, last *State) {
	h.t.Helper()
	session := h.must(reporting(id, port)).Node.Session
	var table *ring.Table
	if last != nil {
		table = last.Table()
	}
	h.must(h.state.ReportOf(api.NodeID(id), session, table))
}

// served counts the slots each node serves.
func served(state *State) map[api.NodeID]int {
	table, count := state.Table(), map[api.NodeID]int{}
	for slot := range table.Epochs {
		if owner, owned := table.Node(table.Primary(ring.Slot(slot))); owned {
			count[owner.ID]++
		}
	}
	return count
}

func TestRestoredSlotsWaitForReports(t *testing.T) {
	h := atLevel2(t)
	h.must(reporting("n1", 1))
	h.must(reporting("n2", 2))
	h.spread("n1", "n2")
	saved, err := DecodeState(bytes.NewReader(encode(t, h.state)))
	if err != nil {
		t.Fatal(err)
	}
	h.spread("n1", "n1", "n1", "n2") // a quarter moved to n1 after the snapshot was taken
	last := h.reborn(saved)
	if h.state.Recovering() != 256 || len(served(h.state)) != 0 || !h.state.MayReport() || !h.state.Recovers() {
		t.Fatalf("%d recover, served %v", h.state.Recovering(), served(h.state))
	}
	newest, _ := h.state.Change(h.state.NewestChange())
	if newest.Kind != "restore" || !newest.Lossy || newest.Actor != "ann" || newest.First.Generation != 2 {
		t.Errorf("history says %+v", newest)
	}
	if _, problem := h.state.At(last.Number); problem == nil || problem.Code != api.CodeVersionGone {
		t.Errorf("a version of the old generation: %v", problem)
	}
	h.spread("n1") // a plan touches none of them
	if h.state.Recovering() != 256 {
		t.Fatal("a plan ended the recovery")
	}
	h.refuse(api.CodeUnknownSession, Report{Node: "n1", Session: "1-1"})
	h.reports("n1", 1, last)
	if got := served(h.state); got["n1"] != 192 || h.state.Recovering() != 64 {
		t.Fatalf("after n1's report: %v, %d recover", got, h.state.Recovering())
	}
	if ids := h.state.Awaiting(); !slices.Equal(ids, []api.NodeID{"n2"}) {
		t.Errorf("awaits %v", ids)
	}
	h.reports("n2", 2, saved) // it had not heard of the move: the higher epochs stand
	if got := served(h.state); got["n1"] != 192 || got["n2"] != 64 || h.state.Recovers() {
		t.Fatalf("after n2's report: %v", got)
	}
	recovered, _ := h.state.Change(h.state.NewestChange())
	if recovered.Kind != "recovered" || recovered.Status != api.ChangePending {
		t.Errorf("history says %+v", recovered)
	}
	if h.must(h.state.ReportOf("n2", h.state.Node("n2").Session, nil)).Note == "" {
		t.Error("a late report is not told that it is late")
	}
}

func TestOwnersThatWereNotRestored(t *testing.T) {
	h := atLevel2(t)
	h.must(reporting("n1", 1))
	h.spread("n1")
	saved := h.state
	h.must(reporting("n2", 2))
	h.spread("n1", "n2")
	last := h.reborn(saved)
	h.reports("n1", 1, last)
	if ids := h.state.Awaiting(); !slices.Equal(ids, []api.NodeID{"n2"}) || h.state.Recovering() != 128 {
		t.Fatalf("awaits %v, %d recover", ids, h.state.Recovering())
	}
	restored := h.state
	h.reports("n2", 2, nil) // named by n1, it knows nothing itself
	if got := served(h.state); got["n1"] != 128 || got["n2"] != 128 || h.state.Recovers() {
		t.Errorf("served %v", got)
	}
	h.state = restored
	h.refuse(api.CodeNodeUnknown, Remove{Node: "n2"})
	h.must(Remove{Node: "n2", Force: true})
	if h.state.Recovers() || served(h.state)["n1"] != 128 {
		t.Errorf("given up: %d recover", h.state.Recovering())
	}
}

func TestWhoIsNotWaitedFor(t *testing.T) {
	h := atLevel2(t)
	static, reset, silent := node("static", 1), node("reset", 2), node("silent", 3)
	static.Lease, reset.OnDown = api.LeaseNone, api.OnDownReset
	for _, registration := range []api.Registration{static, reset, silent} {
		h.must(Register{registration})
	}
	h.spread("static", "reset", "silent")
	h.reborn(h.state)
	if got := served(h.state); got["static"] != 86 || got["reset"] != 85 || got["silent"] != 0 {
		t.Fatalf("served %v", got)
	}
	h.must(Register{silent}) // it does not report: its word is taken
	if got := served(h.state); got["silent"] != 85 {
		t.Errorf("served %v", got)
	}
	h.must(Status{[]Transition{{Node: "reset", Status: api.NodeDown}}})
	if h.state.Recovers() {
		t.Errorf("still awaits %v", h.state.Awaiting())
	}
}

func TestRestoringKeepsTheLongerHistory(t *testing.T) {
	other, fresh := atLevel2(t), atLevel2(t)
	for i := range 5 {
		other.must(Register{node(fmt.Sprintf("n%d", i), i+1)})
	}
	saved := other.state
	if !fresh.state.Fresh() || saved.Fresh() {
		t.Fatal("which one is fresh is mistaken")
	}
	if !fresh.state.Table().Blank() || saved.Table().Blank() {
		t.Error("proxies stay with a fresh cluster, or leave one with nodes")
	}
	fresh.reborn(saved)
	if fresh.state.NewestChange() != saved.NewestChange()+1 || fresh.state.Node("n4") == nil {
		t.Errorf("newest change %d, nodes %d", fresh.state.NewestChange(), len(fresh.state.Nodes()))
	}
	other.must(Drain{Node: "n1", On: true})
	drained := other.state.NewestChange()
	other.reborn(saved)
	if change, problem := other.state.Change(drained); problem != nil || change.Status != api.ChangeSuperseded {
		t.Errorf("what was undecided stands as %+v, %v", change, problem)
	}
	if other.state.Node("n1").Draining {
		t.Error("the node drains as it did after the snapshot")
	}
}

// TestRandomReports restores at random and has nodes report what they last knew: the invariants hold,
// epochs never fall, and each slot that ends served is served by whom the highest epoch reported names.
func TestRandomReports(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 7))
		h := atLevel2(t)
		ids := []string{"n0", "n1", "n2", "n3"}
		for i, id := range ids {
			h.must(reporting(id, i+1))
		}
		past := []*State{h.state}
		for range 6 {
			order := random.Perm(len(ids))
			h.spread(api.NodeID(ids[order[0]]), api.NodeID(ids[order[1]]), api.NodeID(ids[order[2]]))
			past = append(past, h.state)
		}
		for range 3 {
			h.reborn(past[random.IntN(len(past))])
			best := make([]ring.Epoch, 256)
			owner := make([]api.NodeID, 256)
			note := func(state *State) {
				for i := range best {
					slot := state.Slot(ring.Slot(i))
					if slot.Epoch > best[i] && !slot.Recovering() && slot.Primary != ring.NoNode {
						best[i], owner[i] = slot.Epoch, state.NodeAt(slot.Primary).Registration.ID
					}
				}
			}
			for i := range best {
				slot := h.state.Slot(ring.Slot(i))
				best[i] = slot.Known
				if holder := h.state.NodeAt(slot.Primary); holder != nil {
					owner[i] = holder.Registration.ID
				}
			}
			for _, i := range random.Perm(len(ids)) {
				before := h.state
				view := past[random.IntN(len(past))]
				note(view)
				h.reports(ids[i], i+1, view)
				for slot := range 256 {
					if h.state.Slot(ring.Slot(slot)).Epoch < before.Slot(ring.Slot(slot)).Epoch {
						t.Fatalf("seed %d: the epoch of slot %d fell", seed, slot)
					}
				}
			}
			if h.state.Recovers() {
				t.Fatalf("seed %d: all reported and %v is awaited", seed, h.state.Awaiting())
			}
			for i := range best {
				holder := h.state.NodeAt(h.state.Slot(ring.Slot(i)).Primary)
				if owner[i] != "" && (holder == nil || holder.Registration.ID != owner[i]) {
					t.Fatalf("seed %d: slot %d is not with %s", seed, i, owner[i])
				}
			}
			if _, err := DecodeState(bytes.NewReader(encode(t, h.state))); err != nil {
				t.Fatal(err)
			}
			past = append(past, h.state)
		}
	}
}

func TestReportsThatCannotBe(t *testing.T) {
	h := atLevel2(t)
	h.must(reporting("n1", 1))
	h.spread("n1")
	h.reborn(h.state)
	session := h.must(reporting("n1", 1)).Node.Session
	row := func(octets ...byte) []byte { return octets }
	f := func(version api.Version, owners []api.NodeID, rows []byte) {
		t.Helper()
		h.refuse(api.CodeInvalid, Report{Node: "n1", Session: session, Version: version, Owners: owners, Rows: rows})
	}
	first := api.Version{Generation: 1, Number: 4}
	f(api.Version{Generation: 2, Number: 1}, nil, nil)
	f(first, nil, row(0))
	f(first, nil, row(0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0))
	f(first, []api.NodeID{"n1"}, row(1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0))
	f(first, []api.NodeID{"n1"}, row(0, 1, 1, 0, 0, 0, 0, 0, 0, 9, 0, 0))
	f(first, []api.NodeID{"n 1"}, row(0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0))
}

// TestGoldenSnapshot: a snapshot that the first version wrote is read by every later one.
func TestGoldenSnapshot(t *testing.T) {
	path := filepath.Join("testdata", "snapshot", "level1.snapshot")
	if *update {
		h := newHistory(t)
		h.must(Register{node("n1", 1)})
		h.must(Register{node("n2", 2)})
		h.spread("n1", "n2")
		h.must(Drain{Node: "n2", On: true})
		if err := os.WriteFile(path, encode(t, h.state), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	state, err := DecodeState(bytes.NewReader(raw))
	if err != nil || state.Level != 1 || state.Version().String() != "1-5" || !state.Node("n2").Draining {
		t.Fatalf("%+v, %v", state, err)
	}
	if !bytes.Equal(encode(t, state), raw) {
		t.Error("what was read is written otherwise")
	}
	for _, cut := range []int{1, 100, len(raw) - 1} {
		if _, err := DecodeState(bytes.NewReader(raw[:cut])); !errors.Is(err, ErrSnapshot) {
			t.Errorf("cut to %d: %v", cut, err)
		}
	}
}
