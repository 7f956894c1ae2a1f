package simulate

import "github.com/stead-io/stead/api/ring"

// maglevSize is the length of the lookup table, a prime; the small one of the paper.
const maglevSize = 65537

// maglev is the table of Google's load balancer (Eisenbud et al., "Maglev: A Fast and Reliable Software
// Network Load Balancer", 2016, section 3.4): the nodes take turns at claiming places, each by a
// permutation of its own. Very even, at the price of some keys moving between nodes that stay. Heavier
// nodes get more turns.
type maglev struct{ table []int32 }

func newMaglev(hasher ring.Hasher, nodes []node) maglev {
	m := maglev{table: make([]int32, maglevSize)}
	for i := range m.table {
		m.table[i] = -1
	}
	turns := make([]permutation, len(nodes))
	heaviest := 0
	for i, node := range nodes {
		hash := hashOf(hasher, node)
		turns[i] = permutation{next: hash % maglevSize, skip: mix(hash)%(maglevSize-1) + 1}
		heaviest = max(heaviest, node.weight)
	}
	for filled := 0; filled < maglevSize; {
		for i, node := range nodes {
			turns[i].credit += node.weight
			for turns[i].credit >= heaviest && filled < maglevSize {
				turns[i].credit -= heaviest
				m.table[turns[i].claim(m.table)] = int32(node.id)
				filled++
			}
		}
	}
	return m
}

// permutation walks through all places of the table, each once.
type permutation struct {
	next, skip uint64
	credit     int // turns saved up, in weights
}

// claim finds the next place that is free.
func (p *permutation) claim(table []int32) uint64 {
	for {
		place := p.next
		p.next = (p.next + p.skip) % maglevSize
		if table[place] < 0 {
			return place
		}
	}
}

func (m maglev) locate(hashes []uint64, holders []int32) {
	for i, hash := range hashes {
		holders[i] = m.table[hash%maglevSize]
	}
}
