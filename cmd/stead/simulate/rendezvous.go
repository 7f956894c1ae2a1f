package simulate

import (
	"fmt"
	"math"

	"github.com/stead-io/stead/api/ring"
)

// scoredMax is how many nodes rendezvous may have: it looks at each of them for every key.
const scoredMax = 2000

// rendezvous is highest random weight (Thaler and Ravishankar, "Using Name-Based Mappings to Increase
// Hit Rates", 1998): every node scores the key, the highest score has it. Minimal movement without a
// table, at a cost that grows with the nodes. Weights as by Schindelhauer and Schomaker, "Weighted
// Distributed Hash Tables", 2005: the score is -weight/ln(u).
type rendezvous struct {
	ids     []int32
	hashes  []uint64
	weights []float64
	even    bool // all weigh the same: the random numbers themselves are scores
}

func newRendezvous(hasher ring.Hasher, nodes []node) *rendezvous {
	r := &rendezvous{even: true}
	for _, node := range nodes {
		r.ids = append(r.ids, int32(node.id))
		r.hashes = append(r.hashes, hashOf(hasher, node))
		r.weights = append(r.weights, float64(node.weight))
		r.even = r.even && node.weight == nodes[0].weight
	}
	return r
}

func tooManyToScore(before, after []node) string {
	if most := max(len(before), len(after)); most > scoredMax {
		return fmt.Sprintf("it would score %d nodes for each key", most)
	}
	return ""
}

func (r *rendezvous) locate(hashes []uint64, holders []int32) {
	best := r.highest
	if r.even {
		best = r.highestEven
	}
	for i, hash := range hashes {
		holders[i] = r.ids[best(hash)]
	}
}

func (r *rendezvous) highestEven(hash uint64) (best int) {
	var highest uint64
	for i, node := range r.hashes {
		if score := mix(hash ^ node); score > highest {
			best, highest = i, score
		}
	}
	return best
}

func (r *rendezvous) highest(hash uint64) (best int) {
	highest := 0.0
	for i, node := range r.hashes {
		uniform := (float64(mix(hash^node)>>11) + 0.5) / (1 << 53)
		if score := -r.weights[i] / math.Log(uniform); score > highest {
			best, highest = i, score
		}
	}
	return best
}
