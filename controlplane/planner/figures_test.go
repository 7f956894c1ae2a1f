package planner

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
)

// TestModuloShare compares the formula with a count over one whole turn of both modulos.
func TestModuloShare(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	list := func() (nodes []weighted) {
		for n := range 6 {
			if random.IntN(2) == 0 {
				nodes = append(nodes, weighted{api.NodeID(fmt.Sprint(n)), 1 + random.IntN(4)})
			}
		}
		return nodes
	}
	expand := func(nodes []weighted) (ids []api.NodeID) {
		for _, node := range nodes {
			ids = append(ids, slices.Repeat([]api.NodeID{node.id}, node.weight)...)
		}
		return ids
	}
	for range 500 {
		before, after := list(), list()
		got, was, is := moduloShare(before, after), expand(before), expand(after)
		if len(was) == 0 || len(is) == 0 {
			if got != nil {
				t.Fatalf("%v to %v: got %v", before, after, *got)
			}
			continue
		}
		moved := 0
		for hash := range len(was) * len(is) {
			if was[hash%len(was)] != is[hash%len(is)] {
				moved++
			}
		}
		// Weights with a common divisor are reduced: the count above then turns more than it must.
		unit := 0
		for _, node := range slices.Concat(before, after) {
			unit = gcd(unit, node.weight)
		}
		if want := float64(moved) / float64(len(was)*len(is)); unit == 1 && math.Abs(*got-want) > 1e-12 {
			t.Fatalf("%v to %v: %v, counted %v", before, after, *got, want)
		}
	}
	four := moduloShare([]weighted{{"a", 2}, {"b", 2}, {"c", 2}, {"d", 2}}, []weighted{{"a", 2}, {"b", 2}, {"c", 2}, {"d", 2}, {"e", 2}})
	if math.Abs(*four-0.8) > 1e-12 {
		t.Errorf("four nodes to five: %v, want 0.8", *four)
	}
}
