package ring_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// TestAssignSequences runs random changes against the slow account in reference_test.go.
func TestAssignSequences(t *testing.T) {
	sequences := 1500
	if testing.Short() {
		sequences = 200
	}
	var detours, swaps int
	for seed := range sequences {
		w := newWorld(rand.New(rand.NewPCG(uint64(seed), 7)))
		for step := range 6 {
			w.change()
			if d, s, err := w.check(); err != nil {
				t.Fatalf("seed %d step %d: %v\n%s", seed, step, err, w.world)
			} else {
				detours += d
				swaps += s
			}
		}
	}
	t.Log(infeasible, detours, "detours", swaps, "swaps")
}

type randomWorld struct {
	*world
	random *rand.Rand
	pins   bool
	zones  int
	next   int
}

func newWorld(random *rand.Rand) *randomWorld {
	w := &randomWorld{world: &world{replicas: 1 + random.IntN(3)}, random: random}
	w.current = slices.Repeat([]ring.NodeIndex{ring.NoNode}, w.replicas*(1+random.IntN(14)))
	w.pins = random.IntN(4) == 0
	if random.IntN(3) > 0 {
		w.zones = 1 + random.IntN(5)
	}
	for range random.IntN(5) {
		w.add()
	}
	return w
}

func (w *randomWorld) add() {
	node := ring.Candidate{Index: ring.NodeIndex(w.next * 3), Weight: 1}
	node.ID = api.NodeID(fmt.Sprintf("n%d", w.random.IntN(1000)*100+w.next))
	w.next++
	if w.random.IntN(2) == 0 {
		node.Weight = 1 + w.random.IntN(5)
	}
	w.nodes = append(w.nodes, node)
	w.rezone(len(w.nodes) - 1)
	w.nodes[len(w.nodes)-1].Pinned = w.pins && w.random.IntN(3) == 0
}

func (w *randomWorld) rezone(node int) {
	if w.zones > 0 && w.random.IntN(10) > 0 {
		w.nodes[node].Zone = fmt.Sprint("z", w.random.IntN(w.zones))
	}
}

func (w *randomWorld) change() {
	for range 1 + w.random.IntN(3) {
		switch any := len(w.nodes) > 0; {
		case w.random.IntN(3) == 0 || !any:
			w.add()
		case w.random.IntN(3) == 0:
			node := w.random.IntN(len(w.nodes))
			w.nodes = slices.Delete(w.nodes, node, node+1)
		case w.random.IntN(3) == 0:
			w.nodes[w.random.IntN(len(w.nodes))].Weight = 1 + w.random.IntN(8)
		case w.random.IntN(3) == 0:
			w.rezone(w.random.IntN(len(w.nodes)))
		case w.random.IntN(4) == 0:
			for i := range w.current { // somebody else's doing
				if w.random.IntN(3) == 0 {
					w.current[i] = w.nodes[w.random.IntN(len(w.nodes))].Index
				}
			}
		case w.pins:
			node := w.random.IntN(len(w.nodes))
			w.nodes[node].Pinned = !w.nodes[node].Pinned
		}
	}
}

func (w *world) String() string {
	return fmt.Sprintf("R=%d\nnodes %+v\ncurrent %v", w.replicas, w.nodes, w.current)
}

func (w *randomWorld) check() (detours, swaps int, err error) {
	got := ring.Assign(slices.Clone(w.current), w.replicas, slices.Clone(w.nodes))
	shuffled := slices.Clone(w.nodes)
	w.random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if again := ring.Assign(w.current, w.replicas, shuffled); !slices.Equal(again.Want, got.Want) {
		return 0, 0, fmt.Errorf("depends on the order of candidates")
	}
	if err := w.checkRows(got.Want); err != nil {
		return 0, 0, err
	}
	moved, left := w.moved(got.Want)
	if moved != got.Moved {
		return 0, 0, fmt.Errorf("moved %d, says %d", moved, got.Moved)
	}
	pinned := slices.ContainsFunc(w.nodes, func(c ring.Candidate) bool { return c.Pinned })
	if got.Minimum > got.Moved {
		return 0, 0, fmt.Errorf("moved %d, minimum %d", got.Moved, got.Minimum)
	}
	if len(w.nodes) > 0 {
		low, high := w.bounds()
		fewest, ok := w.fewestMoves(low, high)
		if !ok && !(pinned && w.replicas > 1) {
			return 0, 0, fmt.Errorf("infeasible")
		}
		if !ok {
			infeasible++
		}
		if ok && fewest != moved {
			return 0, 0, fmt.Errorf("moved %d, could have been %d", moved, fewest)
		}
		for i, load := range w.held(got.Want) {
			if ok && (load < low[i] || load > high[i]) {
				return 0, 0, fmt.Errorf("%s has %d, not %d to %d", w.nodes[i].ID, load, low[i], high[i])
			}
		}
	}
	if len(w.nodes) > 0 {
		load := w.held(got.Want)
		swapped := 0
		primaries := make([]int, len(w.nodes))
		for slot := range w.slots() {
			row := w.row(got.Want, slot)
			primaries[slices.IndexFunc(w.nodes, func(c ring.Candidate) bool { return c.Index == row[0] })]++
			if primary := w.row(w.current, slot)[0]; primary != ring.NoNode && slices.Contains(row, primary) && row[0] != primary {
				swapped++
			}
		}
		for i := range w.nodes {
			if low := load[i] / w.width(); primaries[i] < low || primaries[i] > low+min(1, load[i]%w.width()) {
				return 0, 0, fmt.Errorf("%s is primary of %d of %d", w.nodes[i].ID, primaries[i], load[i])
			}
		}
		if fewest := w.fewestSwaps(got.Want); fewest != swapped {
			return 0, 0, fmt.Errorf("%d primaries changed, could have been %d", swapped, fewest)
		}
		swaps += swapped
	}
	for _, index := range left {
		for _, node := range w.nodes {
			if node.Index == index && node.Pinned {
				return 0, 0, fmt.Errorf("a replica left pinned %s", node.ID)
			}
		}
	}
	w.current = got.Want
	return got.Moved - got.Minimum, swaps, nil
}

// moved counts the replicas that are new and lists the nodes that lost one.
func (w *world) moved(want []ring.NodeIndex) (moved int, left []ring.NodeIndex) {
	for slot := range w.slots() {
		before, after := w.row(w.current, slot), w.row(want, slot)
		for _, index := range after {
			if index != ring.NoNode && !slices.Contains(before, index) {
				moved++
			}
		}
		for _, index := range before {
			if !slices.Contains(after, index) {
				left = append(left, index)
			}
		}
	}
	return moved, left
}

// checkRows holds every slot to distinct nodes and zones.
func (w *world) checkRows(want []ring.NodeIndex) error {
	if len(want) != len(w.current) {
		return fmt.Errorf("%d places", len(want))
	}
	if len(w.nodes) == 0 {
		if slices.ContainsFunc(want, func(i ring.NodeIndex) bool { return i != ring.NoNode }) {
			return fmt.Errorf("replicas without nodes")
		}
		return nil
	}
	crowd := w.crowd()
	for slot := range w.slots() {
		seen, zones, pinned := map[ring.NodeIndex]bool{}, map[string]int{}, map[string]int{}
		for place, index := range w.row(want, slot) {
			if (index == ring.NoNode) != (place >= w.width()) {
				return fmt.Errorf("slot %d: place %d", slot, place)
			}
			if index == ring.NoNode {
				continue
			}
			node := slices.IndexFunc(w.nodes, func(c ring.Candidate) bool { return c.Index == index })
			if node < 0 || seen[index] {
				return fmt.Errorf("slot %d: node %d", slot, index)
			}
			seen[index] = true
			zones[w.zone(node)]++
			if w.nodes[node].Pinned && slices.Contains(w.row(w.current, slot), index) {
				pinned[w.zone(node)]++
			}
		}
		for zone, n := range zones {
			if n > max(crowd[zone], pinned[zone]) {
				return fmt.Errorf("slot %d: %d replicas in %s", slot, n, zone)
			}
		}
	}
	return nil
}

var infeasible int
