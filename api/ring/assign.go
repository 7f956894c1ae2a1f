package ring

import (
	"slices"

	"github.com/stead-io/stead/api"
)

// Candidate is a node that may hold replicas.
type Candidate struct {
	Index  NodeIndex
	ID     api.NodeID
	Weight int    // share of the ring, 1 to 1000
	Zone   string // failure domain; a node that names none is a domain of its own
	Pinned bool   // no replica it holds is moved off it
}

// Assignment is who should hold what.
type Assignment struct {
	Want    []NodeIndex // R for each slot, primary first, NoNode behind the last replica
	Moved   int         // replicas in Want that their node does not hold yet
	Minimum int         // no assignment that meets the quotas moves fewer
}

// Assign decides which candidates hold the replicas of each slot. current has R places a slot,
// primary first; indexes that are not among the candidates count as vacant. The same input, in
// whatever order the candidates come, gives the same answer.
//
// It holds to, in this order: distinct nodes in a slot; as many distinct zones as there are; each
// node's quota, which is its weight's share of the ring, rounded either way, once no node holds a
// slot twice and no zone holds more of a slot than it must; the fewest moves; primaries in proportion
// to replicas, with the fewest changes of primary. Pinned nodes keep what they hold, over quota too,
// and the others share the rest. With fewer than R candidates every slot has all of them.
//
// The moves are the fewest there can be (see transport). Moved exceeds Minimum only where distinct
// nodes and zones force detours.
func Assign(current []NodeIndex, replicas int, candidates []Candidate) Assignment {
	result := Assignment{Want: slices.Repeat([]NodeIndex{NoNode}, len(current))}
	if len(candidates) == 0 {
		return result
	}
	placing := newPlacement(current, replicas, candidates)
	quotas := placing.quotas()
	moving := newTransport(placing, placing.start(quotas), placing.width, quotas)
	moving.settle()

	rows := placing.inOrder(moving.rows)
	elect(placing, rows, moving.load)
	for i, node := range rows {
		slot, place := i/placing.width, i%placing.width
		result.Want[slot*replicas+place] = placing.nodes[node].Index
		result.Moved += 1 - placing.worth(slot, node)
	}
	result.Minimum = leastMoves(quotas, placing.held, moving.load)
	return result
}

// leastMoves counts what nodes must gain to have their targets, or where pins put those out of reach,
// what they came to.
func leastMoves(quotas []quota, held, load []int) int {
	wanted, gained := 0, 0
	for node, quota := range quotas {
		wanted += max(0, quota.target-held[node])
		gained += max(0, load[node]-held[node])
	}
	return min(wanted, gained)
}
