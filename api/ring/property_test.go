package ring_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// TestAssignSequences holds the assigner, over random sequences of changes, to what a slow and
// separate account of its duties says (reference_test.go). The worlds are small, because that is
// where distinct nodes, zones and pins get into each other's way.
func TestAssignSequences(t *testing.T) {
	detours := 0
	for seed := range uint64(2000) {
		detours += live(t, seed)
	}
	if detours == 0 {
		t.Error("no sequence forced a detour: the worlds are too easy")
	}
}

// FuzzAssign looks for a sequence that goes wrong among all there are.
func FuzzAssign(f *testing.F) {
	f.Add(uint64(0))
	f.Fuzz(func(t *testing.T, seed uint64) { live(t, seed) })
}

// live takes one world through its changes and counts the moves that were more than the minimum.
func live(t *testing.T, seed uint64) (detours int) {
	w := newRandomWorld(seed)
	for step := range 6 {
		w.change()
		got := ring.Assign(slices.Clone(w.current), w.replicas, slices.Clone(w.nodes))
		if err := w.check(got); err != nil {
			t.Fatalf("seed %d step %d: %v\n%s", seed, step, err, w)
		}
		detours += got.Moved - got.Minimum
		w.current = got.Want
	}
	return detours
}

// randomWorld is a small ring that changes at random.
type randomWorld struct {
	*world
	random *rand.Rand
	zones  int  // named zones; 0: none are named
	pins   bool // some nodes are pinned
	added  int
}

func newRandomWorld(seed uint64) *randomWorld {
	random := rand.New(rand.NewPCG(seed, 0))
	w := &randomWorld{world: &world{replicas: 1 + random.IntN(3)}, random: random, pins: random.IntN(4) == 0}
	w.current = slices.Repeat([]ring.NodeIndex{ring.NoNode}, w.replicas*(1+random.IntN(14)))
	if random.IntN(3) > 0 {
		w.zones = 1 + random.IntN(5)
	}
	for range random.IntN(5) {
		w.add()
	}
	return w
}

// change does one to three things to the nodes.
func (w *randomWorld) change() {
	for range 1 + w.random.IntN(3) {
		if len(w.nodes) == 0 {
			w.add()
			continue
		}
		node := w.random.IntN(len(w.nodes))
		switch w.random.IntN(8) {
		case 0, 1, 2:
			w.add()
		case 3, 4:
			w.nodes = slices.Delete(w.nodes, node, node+1)
		case 5:
			w.nodes[node].Weight = 1 + w.random.IntN(8)
		case 6:
			w.nodes[node].Zone = w.anyZone()
		case 7:
			w.nodes[node].Pinned = w.pins && !w.nodes[node].Pinned
			w.shuffle()
		}
	}
}

func (w *randomWorld) add() {
	w.added++
	w.nodes = append(w.nodes, ring.Candidate{
		Index:  ring.NodeIndex(w.added * 3),
		ID:     api.NodeID(fmt.Sprintf("n%d-%d", w.random.IntN(1000), w.added)),
		Weight: max(1, w.random.IntN(6)-1),
		Zone:   w.anyZone(),
		Pinned: w.pins && w.random.IntN(3) == 0,
	})
}

func (w *randomWorld) anyZone() string {
	if w.zones == 0 || w.random.IntN(10) == 0 {
		return ""
	}
	return fmt.Sprint("z", w.random.IntN(w.zones))
}

// shuffle sometimes puts replicas where no assigner would.
func (w *randomWorld) shuffle() {
	if w.random.IntN(4) > 0 {
		return
	}
	for i := range w.current {
		if w.random.IntN(3) == 0 {
			w.current[i] = w.nodes[w.random.IntN(len(w.nodes))].Index
		}
	}
}

func (w *randomWorld) check(got ring.Assignment) error {
	w.random.Shuffle(len(w.nodes), func(i, j int) { w.nodes[i], w.nodes[j] = w.nodes[j], w.nodes[i] })
	if again := ring.Assign(w.current, w.replicas, w.nodes); !slices.Equal(again.Want, got.Want) {
		return fmt.Errorf("the order of candidates makes a difference")
	}
	if err := w.checkRows(got.Want); err != nil || len(w.nodes) == 0 {
		return err
	}
	if err := w.checkMoves(got); err != nil {
		return err
	}
	return w.checkPrimaries(got.Want)
}

// checkRows wants distinct nodes, the most zones there can be, and what is pinned where it was.
func (w *world) checkRows(want []ring.NodeIndex) error {
	crowd := w.crowd()
	for slot := range w.slots() {
		zones, pinned := map[string]int{}, map[string]int{}
		row := w.row(want, slot)
		for place, index := range row {
			if (index == ring.NoNode) != (place >= w.width()) {
				return fmt.Errorf("slot %d has %v, of %d nodes", slot, row, len(w.nodes))
			}
			if index == ring.NoNode {
				continue
			}
			if slices.Contains(row[:place], index) || w.node(index) < 0 {
				return fmt.Errorf("slot %d has %v: %d is twice there or no candidate", slot, row, index)
			}
			zones[w.zone(w.node(index))]++
		}
		for _, node := range w.pinned(slot) {
			pinned[w.zone(node)]++
			if !slices.Contains(row, w.nodes[node].Index) {
				return fmt.Errorf("slot %d lost pinned %s", slot, w.nodes[node].ID)
			}
		}
		for zone, replicas := range zones {
			if replicas > max(crowd[zone], pinned[zone]) {
				return fmt.Errorf("slot %d has %d replicas in %s", slot, replicas, zone)
			}
		}
	}
	return nil
}

// checkMoves wants every node within its quota at the least number of moves. Pins can make that
// impossible, but not with one replica.
func (w *world) checkMoves(got ring.Assignment) error {
	moved := 0
	for slot := range w.slots() {
		for _, index := range w.row(got.Want, slot) {
			if index != ring.NoNode && !slices.Contains(w.row(w.current, slot), index) {
				moved++
			}
		}
	}
	if moved != got.Moved || got.Minimum > got.Moved {
		return fmt.Errorf("%d moved; it says %d, at least %d", moved, got.Moved, got.Minimum)
	}
	low, high := w.bounds()
	fewest, possible := w.fewestMoves(low, high)
	if !possible {
		if w.replicas == 1 || !slices.ContainsFunc(w.nodes, func(c ring.Candidate) bool { return c.Pinned }) {
			return fmt.Errorf("the quotas %v to %v cannot be met", low, high)
		}
		return nil
	}
	if moved != fewest {
		return fmt.Errorf("%d moved, %d would do", moved, fewest)
	}
	for node, load := range w.held(got.Want) {
		if load < low[node] || load > high[node] {
			return fmt.Errorf("%s has %d replicas, not %d to %d", w.nodes[node].ID, load, low[node], high[node])
		}
	}
	return nil
}

// checkPrimaries wants every node primary of its part of its replicas, at the fewest changes.
func (w *world) checkPrimaries(want []ring.NodeIndex) error {
	primaries, changed := make([]int, len(w.nodes)), 0
	for slot := range w.slots() {
		before, after := w.row(w.current, slot)[0], w.row(want, slot)
		primaries[w.node(after[0])]++
		if before != after[0] && before != ring.NoNode && slices.Contains(after, before) {
			changed++
		}
	}
	for node, load := range w.held(want) {
		if p := primaries[node] * w.width(); p <= load-w.width() || p >= load+w.width() {
			return fmt.Errorf("%s is primary of %d, replica of %d", w.nodes[node].ID, primaries[node], load)
		}
	}
	if fewest := w.fewestChanges(want); changed != fewest {
		return fmt.Errorf("%d primaries changed, %d would do", changed, fewest)
	}
	return nil
}

func (w *world) String() string {
	return fmt.Sprintf("R=%d\nnodes %+v\ncurrent %v", w.replicas, w.nodes, w.current)
}
