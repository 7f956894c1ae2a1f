package ring

import "cmp"

// noSlot marks a step that no slot is needed for.
const noSlot = -1

// search is the frontier of a shortest-path search over nodes (Dijkstra, 1959).
type search struct {
	labels []label // by node
	seen   []rank  // nodes that a path came to
	open   []rank  // of those, the ones not yet left
}

// label is the best path found to a node, by its last step.
type label struct {
	cost, steps int
	room        int  // of the node: how many more it may take
	from        rank // noRank where the path begins
	slot        int  // in which the node takes from's place, or noSlot
	reached     bool
}

func (s *search) reset() {
	for _, node := range s.seen {
		s.labels[node] = label{}
	}
	s.seen, s.open = s.seen[:0], s.open[:0]
}

// improves says whether a path of that cost and length would be the best known to the node.
func (s *search) improves(node rank, cost, steps int) bool {
	known := &s.labels[node]
	return !known.reached || cost < known.cost || cost == known.cost && steps < known.steps
}

// reach notes the best path to a node.
func (s *search) reach(node rank, path label) {
	if !s.labels[node].reached {
		s.seen = append(s.seen, node)
		s.open = append(s.open, node)
	}
	path.reached = true
	s.labels[node] = path
}

// next takes the node with the best path off the frontier, noRank when it is empty. Among equals it
// prefers more room, and then chance, though always the same for a slot and node.
func (s *search) next() rank {
	if len(s.open) == 0 {
		return noRank
	}
	best := 0
	for i := range s.open {
		if s.compare(s.open[i], s.open[best]) < 0 {
			best = i
		}
	}
	node, last := s.open[best], len(s.open)-1
	s.open[best] = s.open[last]
	s.open = s.open[:last]
	return node
}

func (s *search) compare(a, b rank) int {
	x, y := &s.labels[a], &s.labels[b]
	switch {
	case x.cost != y.cost:
		return x.cost - y.cost
	case x.steps != y.steps:
		return x.steps - y.steps
	case x.room != y.room:
		return y.room - x.room
	default:
		return cmp.Or(cmp.Compare(scatter(x.slot, a), scatter(y.slot, b)), cmp.Compare(a, b))
	}
}

// scatter is chance without randomness: it mixes slot and node (the finalizer of MurmurHash3).
func scatter(slot int, node rank) uint64 {
	mixed := uint64(slot)<<32 ^ uint64(node)
	mixed = (mixed ^ mixed>>33) * 0xff51afd7ed558ccd
	mixed = (mixed ^ mixed>>33) * 0xc4ceb9fe1a85ec53
	return mixed ^ mixed>>33
}
