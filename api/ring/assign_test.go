package ring_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

func TestPerfScratch(t *testing.T) {
	const slots, replicas = 16384, 3
	for _, zones := range []int{0, 3, 5, 40} {
		var candidates []ring.Candidate
		for i := range 1000 {
			c := ring.Candidate{Index: ring.NodeIndex(i), ID: api.NodeID(fmt.Sprintf("n%04d", i)), Weight: 1 + i%4}
			if zones > 0 {
				c.Zone = fmt.Sprint("z", i%zones)
			}
			candidates = append(candidates, c)
		}
		current := make([]ring.NodeIndex, slots*replicas)
		for i := range current {
			current[i] = ring.NoNode
		}
		start := time.Now()
		a := ring.Assign(current, replicas, candidates[:999])
		t.Log(zones, "fresh", time.Since(start), a.Moved, a.Minimum)
		start = time.Now()
		b := ring.Assign(a.Want, replicas, candidates)
		t.Log(zones, "add", time.Since(start), b.Moved, b.Minimum)
		start = time.Now()
		c := ring.Assign(b.Want, replicas, candidates[1:])
		t.Log(zones, "remove", time.Since(start), c.Moved, c.Minimum)
		start = time.Now()
		c = ring.Assign(b.Want, replicas, candidates[100:])
		t.Log(zones, "remove 100", time.Since(start), c.Moved, c.Minimum)
		start = time.Now()
		c = ring.Assign(c.Want, replicas, candidates)
		t.Log(zones, "add 100", time.Since(start), c.Moved, c.Minimum)
		start = time.Now()
		c = ring.Assign(c.Want, replicas, candidates)
		t.Log(zones, "nothing", time.Since(start), c.Moved, c.Minimum)
	}
}
