package ring

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
	from        rank // nobody where the path begins
	slot        int  // in which the node takes from's place, or noSlot
	reached     bool
}

func (s *search) reset() {
	for _, node := range s.seen {
		s.labels[node] = label{}
	}
	s.seen, s.open = s.seen[:0], s.open[:0]
}

// improves says whether a path would be the best known to the node.
func (s *search) improves(node rank, path label) bool {
	known := &s.labels[node]
	return !known.reached || path.cost < known.cost || path.cost == known.cost && path.steps < known.steps
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

// next takes the node with the best path off the frontier, nobody when it is empty. Among equals it
// prefers more room, and then chance, fixed by slot and node: were neighbours always preferred, the
// same few nodes would share all their slots, and one's loss would be felt by those few alone.
func (s *search) next(room func(rank) int) rank {
	if len(s.open) == 0 {
		return nobody
	}
	best := 0
	for i := 1; i < len(s.open); i++ {
		if s.before(s.open[i], s.open[best], room) {
			best = i
		}
	}
	node, last := s.open[best], len(s.open)-1
	s.open[best] = s.open[last]
	s.open = s.open[:last]
	return node
}

func (s *search) before(a, b rank, room func(rank) int) bool {
	x, y := &s.labels[a], &s.labels[b]
	if x.cost != y.cost {
		return x.cost < y.cost
	}
	if x.steps != y.steps {
		return x.steps < y.steps
	}
	if room, other := room(a), room(b); room != other {
		return room > other
	}
	if x, y := scatter(x.slot, a), scatter(y.slot, b); x != y {
		return x < y
	}
	return a < b
}

// scatter mixes slot and node (the finalizer of MurmurHash3).
func scatter(slot int, node rank) uint64 {
	mixed := uint64(slot)<<32 ^ uint64(node)
	mixed = (mixed ^ mixed>>33) * 0xff51afd7ed558ccd
	mixed = (mixed ^ mixed>>33) * 0xc4ceb9fe1a85ec53
	return mixed ^ mixed>>33
}
