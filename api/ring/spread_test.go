package ring_test

import (
	"testing"

	"github.com/stead-io/stead/api/ring"
)

// TestEveryPairShares wants the slots of each node backed by all other nodes about alike: then the
// loss of one is felt by all a little, not by two a lot. Joins and losses must not undo that.
func TestEveryPairShares(t *testing.T) {
	table, candidates := crowded(t, 16, 0, 14, 2)
	for i := range candidates {
		candidates[i].Weight = 1
	}
	owners := table.Owners
	for _, there := range [][]ring.Candidate{candidates[:8], candidates[:9], candidates[:12], candidates[4:], candidates[3:16]} {
		owners = ring.Assign(owners, 2, there).Want
		shared := map[[2]ring.NodeIndex]int{}
		for slot := 0; slot < len(owners); slot += 2 {
			shared[[2]ring.NodeIndex{min(owners[slot], owners[slot+1]), max(owners[slot], owners[slot+1])}]++
		}
		even := len(owners) / 2 * 2 / len(there) / (len(there) - 1)
		for i, a := range there {
			for _, b := range there[i+1:] {
				if n := shared[[2]ring.NodeIndex{a.Index, b.Index}]; n < even/2 || n > even*2 {
					t.Errorf("of %d nodes, %s and %s share %d slots, evenly it were %d", len(there), a.ID, b.ID, n, even)
				}
			}
		}
	}
}

// TestAssignUnusual holds the assigner to its contract where there is little to hold.
func TestAssignUnusual(t *testing.T) {
	f := func(current []ring.NodeIndex, replicas int, candidates []ring.Candidate, want ring.Assignment) {
		t.Helper()
		got := ring.Assign(current, replicas, candidates)
		if len(got.Want) != len(want.Want) || got.Moved != want.Moved || got.Minimum != want.Minimum {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i := range got.Want {
			if got.Want[i] != want.Want[i] {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	}
	none := ring.NoNode
	a, b := ring.Candidate{Index: 7, ID: "a", Weight: 1}, ring.Candidate{Index: 3, ID: "b"}
	f(nil, 1, []ring.Candidate{a}, ring.Assignment{})
	f([]ring.NodeIndex{1, 2}, 1, nil, ring.Assignment{Want: []ring.NodeIndex{none, none}})
	f([]ring.NodeIndex{1, none, 3}, 3, []ring.Candidate{a}, ring.Assignment{Want: []ring.NodeIndex{7, none, none}, Moved: 1, Minimum: 1})
	f([]ring.NodeIndex{3, 3}, 2, []ring.Candidate{a, b}, ring.Assignment{Want: []ring.NodeIndex{3, 7}, Moved: 1, Minimum: 1})
	f([]ring.NodeIndex{none, 7}, 2, []ring.Candidate{a}, ring.Assignment{Want: []ring.NodeIndex{7, none}})
}
