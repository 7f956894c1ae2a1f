package ring_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// TestVersionSequences takes tables through random changes and follows them over every wire form.
func TestVersionSequences(t *testing.T) {
	const sequences, steps = 1000, 4
	for seed := range uint64(sequences) {
		random := rand.New(rand.NewPCG(seed, 0))
		table := ring.NewTable("0123456789abcdef0123456789abcdef", 8, 1+random.IntN(3))
		table.Version = api.Version{Generation: 1, Number: 1}
		follower := viewOf(t, table)
		for step := range steps {
			next := changed(table, random)
			if err := follow(&follower, table, next); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			table = next
		}
		if decoded, err := ring.DecodeView(follower.Encode()); err != nil || decoded.Table.Digest() != table.Digest() {
			t.Fatalf("seed %d: its frame: %v", seed, err)
		}
		if read, err := ring.ViewFromJSON(follower.JSON()); err != nil || read.Table.Digest() != table.Digest() {
			t.Fatalf("seed %d: its JSON: %v", seed, err)
		}
	}
}

// changed makes the next version: nodes come, go and change, and the assigner answers.
func changed(table *ring.Table, random *rand.Rand) *ring.Table {
	next := table.Clone()
	next.Previous, next.Version.Number = table.Version.Number, table.Version.Number+1
	for range 1 + random.IntN(4) {
		index := random.IntN(12)
		for len(next.Nodes) <= index {
			next.Nodes = append(next.Nodes, ring.Node{})
		}
		id := api.NodeID(fmt.Sprint("n", random.IntN(30)))
		switch listed := next.Nodes[index].ID != ""; {
		case listed && random.IntN(3) == 0:
			next.Nodes[index] = ring.Node{}
		case listed:
			next.Nodes[index].Status = ring.Status(1 + random.IntN(4))
		case next.IndexOf(id) == ring.NoNode:
			next.Nodes[index] = ring.Node{ID: id, Address: fmt.Sprintf("h:%d", 1+random.IntN(9999)), Status: ring.StatusUp}
		}
	}
	var candidates []ring.Candidate
	for index, node := range next.Nodes {
		if node.ID != "" && (node.Status == ring.StatusUp || node.Status == ring.StatusSuspect) {
			candidates = append(candidates, ring.Candidate{Index: ring.NodeIndex(index), ID: node.ID, Weight: 1})
		}
	}
	next.Owners = ring.Assign(next.Owners, next.Replicas, candidates).Want
	for slot := range next.Epochs {
		if !slices.Equal(next.ReplicasOf(ring.Slot(slot)), table.ReplicasOf(ring.Slot(slot))) {
			next.Epochs[slot]++
		}
	}
	return next
}

// follow brings a follower from one table to the next by a delta as it travels.
func follow(follower **ring.View, from, to *ring.Table) error {
	delta := ring.Between(from, to)
	text, err := json.Marshal(delta.Wire(nil))
	if err != nil {
		return err
	}
	var wire api.RingDelta
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	view, err := (*follower).Apply(&wire)
	if err != nil {
		return err
	}
	if delta.Size() < 200 {
		return fmt.Errorf("it has a size of %d", delta.Size())
	}
	if view.Table.Digest() != to.Digest() {
		return fmt.Errorf("the delta leads elsewhere")
	}
	if _, err := delta.Apply(view.Table); !errors.Is(err, ring.ErrFrom) {
		return fmt.Errorf("applied twice: %w", err)
	}
	*follower = view
	return checkDiff(ring.Diff(from, to), from, to)
}

// checkDiff counts again, by id.
func checkDiff(diff api.RingDiff, from, to *ring.Table) error {
	name := func(t *ring.Table, slot int) api.NodeID {
		node, _ := t.Node(t.Primary(ring.Slot(slot)))
		return node.ID
	}
	moved, balance := 0, map[api.NodeID]int{}
	for slot := range to.Epochs {
		if name(from, slot) != name(to, slot) {
			moved++
			balance[name(from, slot)]--
			balance[name(to, slot)]++
		}
	}
	if diff.Moved != moved || diff.Share != float64(moved)/float64(len(to.Epochs)) || diff.From != from.Version || diff.To != to.Version {
		return fmt.Errorf("diff says %d moved, not %d", diff.Moved, moved)
	}
	for _, node := range diff.Nodes {
		was, is := node.Before, node.After
		if was == nil {
			was = &api.NodeShare{}
		}
		if is == nil {
			is = &api.NodeShare{}
		}
		if is.Slots-was.Slots != balance[node.ID] {
			return fmt.Errorf("diff says %s went from %d to %d slots, not by %d", node.ID, was.Slots, is.Slots, balance[node.ID])
		}
		delete(balance, node.ID)
	}
	for id, change := range balance {
		if id != "" && change != 0 {
			return fmt.Errorf("diff leaves out %s", id)
		}
	}
	return nil
}

func TestReplicasChange(t *testing.T) {
	one := ring.NewTable("0123456789abcdef0123456789abcdef", 8, 1)
	one.Nodes = sample().Nodes
	two := sample()
	two.Version.Number++
	with := settings(8, 2)
	view, err := viewOf(t, one).Apply(ring.Between(one, two).Wire(&with))
	if err != nil {
		t.Fatal(err)
	}
	if view.Table.Digest() != two.Digest() || view.Settings.Replicas != 2 {
		t.Error("R did not change")
	}
	if _, err := viewOf(t, one).Apply(ring.Between(one, two).Wire(nil)); !errors.Is(err, ring.ErrInvalid) {
		t.Errorf("without the settings: %v", err)
	}
}

func TestApplyRefuses(t *testing.T) {
	from := sample()
	to := sample().Clone()
	to.Version.Number, to.Previous = 42, 41
	to.Nodes[0].Status = ring.StatusDown
	to.Epochs[7]++
	f := func(change func(*api.RingDelta), want error, part string) {
		t.Helper()
		wire := ring.Between(from, to).Wire(nil)
		change(wire)
		_, err := viewOf(t, from).Apply(wire)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
	f(func(d *api.RingDelta) { d.From.Number = 40 }, ring.ErrFrom, "2-40")
	f(func(d *api.RingDelta) { d.From.Generation = 1 }, ring.ErrFrom, "1-41")
	f(func(d *api.RingDelta) { d.Cluster = "ff" }, ring.ErrFrom, "")
	f(func(d *api.RingDelta) { d.To.Number = 43 }, ring.ErrDigest, "2-43")
	f(func(d *api.RingDelta) { d.Slots = nil }, ring.ErrDigest, "")
	f(func(d *api.RingDelta) { d.Digest = "" }, ring.ErrInvalid, "64 hex")
	f(func(d *api.RingDelta) { d.Slots[0] = []uint64{7} }, ring.ErrInvalid, "too short")
	f(func(d *api.RingDelta) { d.Slots[0] = []uint64{256, 1} }, ring.ErrInvalid, "slot 256")
	f(func(d *api.RingDelta) { d.Slots[0] = []uint64{65536, 1} }, ring.ErrInvalid, "out of order")
	f(func(d *api.RingDelta) { d.Slots[0] = []uint64{7, 1, 9} }, ring.ErrInvalid, "not listed")
	f(func(d *api.RingDelta) { d.Slots = append(d.Slots, d.Slots[0]) }, ring.ErrInvalid, "out of order")
	f(func(d *api.RingDelta) { d.Nodes = append(d.Nodes, d.Nodes[0]) }, ring.ErrInvalid, "out of order")
	f(func(d *api.RingDelta) { d.Nodes[0].Index = 65535 }, ring.ErrInvalid, "out of range")
	f(func(d *api.RingDelta) { d.Nodes[0].ID = "" }, ring.ErrInvalid, "free index")

	kept := from.Digest()
	if _, err := ring.Between(from, to).Apply(from); err != nil || from.Digest() != kept {
		t.Errorf("the table given changed, or %v", err)
	}
	if _, err := ring.DeltaFromWire(ring.Between(from, to).Wire(nil), 4); !errors.Is(err, ring.ErrInvalid) {
		t.Errorf("R=4: %v", err)
	}
}

// TestDiffSeesIdsNotIndexes gives an index to another node: its slots moved, though no owner's number did.
func TestDiffSeesIdsNotIndexes(t *testing.T) {
	from, to := sample(), sample().Clone()
	to.Nodes[0] = ring.Node{ID: "n9", Address: "h:9", Status: ring.StatusUp}
	diff := ring.Diff(from, to)
	held := 0
	for slot := range from.Epochs {
		if from.Primary(ring.Slot(slot)) == 0 {
			held++
		}
	}
	if len(diff.Slots) < held || diff.Moved != held || len(diff.Nodes) != 2 || diff.Nodes[0].ID != "n1" || diff.Nodes[1].After.Slots != held {
		t.Errorf("moved %d of %d, nodes %+v", diff.Moved, held, diff.Nodes)
	}
}

// TestDiffIgnoresIndexes moves a node to another index: nothing differs for anybody.
func TestDiffIgnoresIndexes(t *testing.T) {
	from, to := sample(), sample().Clone()
	to.Nodes[1], to.Nodes[4] = to.Nodes[4], ring.Node{}
	for i, index := range to.Owners {
		if index == 4 {
			to.Owners[i] = 1
		}
	}
	if diff := ring.Diff(from, to); len(diff.Slots) != 0 || len(diff.Nodes) != 0 || diff.Moved != 0 {
		t.Errorf("got %+v", diff)
	}
}
