package simulate

import (
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// slots is Stead's own ring: the table that its assigner makes, with one replica a slot.
type slots struct {
	bits   ring.Bits
	owners []ring.NodeIndex
}

func newSlots(bits ring.Bits, nodes []node) slots {
	vacant := slots{bits: bits, owners: slices.Repeat([]ring.NodeIndex{ring.NoNode}, bits.Slots())}
	return vacant.with(nodes)
}

// with is the ring after its nodes have become these.
func (s slots) with(nodes []node) slots {
	candidates := make([]ring.Candidate, len(nodes))
	for i, node := range nodes {
		candidates[i] = ring.Candidate{Index: ring.NodeIndex(node.id), ID: api.NodeID(node.name()), Weight: node.weight}
	}
	return slots{bits: s.bits, owners: ring.Assign(s.owners, 1, candidates).Want}
}

func (s slots) locate(hashes []uint64, holders []int32) {
	for i, hash := range hashes {
		holders[i] = int32(s.owners[s.bits.Of(hash)])
	}
}
