package ring_test

import (
	"math/big"
	"slices"

	"github.com/stead-io/stead/api/ring"
)

// world is what the assigner sees, together with a slow and separate account of what it should do.
type world struct {
	replicas int
	current  []ring.NodeIndex
	nodes    []ring.Candidate
}

func (w *world) slots() int { return len(w.current) / w.replicas }
func (w *world) width() int { return min(w.replicas, len(w.nodes)) }

func (w *world) row(owners []ring.NodeIndex, slot int) []ring.NodeIndex {
	return owners[slot*w.replicas : (slot+1)*w.replicas]
}

// node finds a candidate by its index, -1 if there is none.
func (w *world) node(index ring.NodeIndex) int {
	return slices.IndexFunc(w.nodes, func(c ring.Candidate) bool { return c.Index == index })
}

// zone is a node's zone; a node that names none is one of its own.
func (w *world) zone(node int) string {
	if w.nodes[node].Zone == "" {
		return "of " + string(w.nodes[node].ID)
	}
	return "zone " + w.nodes[node].Zone
}

// crowd is how many replicas of a slot each zone may hold.
func (w *world) crowd() map[string]int {
	size := map[string]int{}
	for node := range w.nodes {
		size[w.zone(node)]++
	}
	for level := 1; ; level++ {
		crowd, room := map[string]int{}, 0
		for zone, n := range size {
			crowd[zone] = min(n, level)
			room += crowd[zone]
		}
		if room >= w.width() {
			return crowd
		}
	}
}

// held counts the replicas that each node has in owners.
func (w *world) held(owners []ring.NodeIndex) []int {
	held := make([]int, len(w.nodes))
	for slot := range w.slots() {
		for node, candidate := range w.nodes {
			if slices.Contains(w.row(owners, slot), candidate.Index) {
				held[node]++
			}
		}
	}
	return held
}

// bounds are the quotas, rounded down and up.
func (w *world) bounds() (low, high []int) {
	var all basins
	crowd, held, open, closed := w.crowd(), w.held(w.current), w.slots(), make([]int, len(w.nodes))
	for slot := range w.slots() {
		if pinned := w.pinned(slot); len(pinned) == w.width() {
			open--
			for _, node := range pinned {
				closed[node]++
			}
		}
	}
	all.limits = map[string]int{}
	stuck := map[string]int{}
	for i, node := range w.nodes {
		least := 0
		if node.Pinned {
			least = held[i]
		}
		stuck[w.zone(i)] += least
		all.limits[w.zone(i)] += closed[i]
		all.add(node.Weight, least, open+closed[i], w.zone(i))
	}
	for zone := range all.limits {
		all.limits[zone] = max(all.limits[zone]+open*crowd[zone], stuck[zone])
	}
	all.pour(w.slots() * w.width())
	for _, share := range all.share {
		floor := int(new(big.Int).Quo(share.Num(), share.Denom()).Int64())
		low, high = append(low, floor), append(high, floor)
		if !share.IsInt() {
			high[len(high)-1]++
		}
	}
	return low, high
}

// pinned lists the nodes whose replica of the slot must stay.
func (w *world) pinned(slot int) []int {
	var pinned []int
	for i, node := range w.nodes {
		if node.Pinned && slices.Contains(w.row(w.current, slot), node.Index) {
			pinned = append(pinned, i)
		}
	}
	return pinned
}

// Arcs that must be used have a price so low that every solution that can uses them.
const (
	mustFill = -1_000
	mustStay = -1_000_000
)

// fewestMoves solves the assignment as a minimum-cost flow, arc by arc. ok is false when the bounds
// cannot be met, which only pins can cause.
func (w *world) fewestMoves(low, high []int) (moves int, ok bool) {
	var net network
	source, sink := net.vertex(), net.vertex()
	nodes, musts := make([]int, len(w.nodes)), 0
	for i := range w.nodes {
		nodes[i] = net.vertex()
		net.arc(nodes[i], sink, low[i], mustFill)
		net.arc(nodes[i], sink, high[i]-low[i], 0)
		musts += low[i] * mustFill
	}
	crowd := w.crowd()
	for s := range w.slots() {
		slot, pinned := net.vertex(), map[string]int{}
		net.arc(source, slot, w.width(), 0)
		for _, i := range w.pinned(s) {
			pinned[w.zone(i)]++
			musts += mustStay
		}
		zones := map[string]int{}
		for zone := range crowd {
			zones[zone] = net.vertex()
			net.arc(slot, zones[zone], max(crowd[zone], pinned[zone]), 0)
		}
		for i, candidate := range w.nodes {
			cost := 1
			switch {
			case slices.Contains(w.pinned(s), i):
				cost = mustStay
			case slices.Contains(w.row(w.current, s), candidate.Index):
				cost = 0
			}
			net.arc(zones[w.zone(i)], nodes[i], 1, cost)
		}
	}
	flow, cost := net.solve(source, sink)
	return cost - musts, flow == w.slots()*w.width() && cost-musts < -mustFill
}

// fewestChanges is the least number of slots that lose a primary which is still a replica, if every
// node is primary of its load's share rounded either way.
func (w *world) fewestChanges(want []ring.NodeIndex) int {
	load := w.held(want)
	var net network
	source, sink := net.vertex(), net.vertex()
	nodes := make([]int, len(w.nodes))
	musts := 0
	for i := range w.nodes {
		nodes[i] = net.vertex()
		net.arc(nodes[i], sink, load[i]/w.width(), mustFill)
		musts += load[i] / w.width() * mustFill
		if load[i]%w.width() > 0 {
			net.arc(nodes[i], sink, 1, 0)
		}
	}
	for s := range w.slots() {
		slot := net.vertex()
		net.arc(source, slot, 1, 0)
		primary := w.row(w.current, s)[0]
		remains := slices.Contains(w.row(want, s), primary) && primary != ring.NoNode
		for i, candidate := range w.nodes {
			if slices.Contains(w.row(want, s), candidate.Index) {
				cost := 0
				if remains && candidate.Index != primary {
					cost = 1
				}
				net.arc(slot, nodes[i], 1, cost)
			}
		}
	}
	_, cost := net.solve(source, sink)
	return cost - musts
}

// network is a textbook minimum-cost flow: Bellman-Ford over residual arcs.
type network struct {
	vertices int
	arcs     []arc // an arc's reverse is its neighbour: index^1
}

type arc struct{ from, to, room, cost int }

func (n *network) vertex() int { n.vertices++; return n.vertices - 1 }

func (n *network) arc(from, to, room, cost int) {
	n.arcs = append(n.arcs, arc{from, to, room, cost}, arc{to, from, 0, -cost})
}

func (n *network) solve(source, sink int) (flow, cost int) {
	const far = 1 << 40
	for {
		distance, via := slices.Repeat([]int{far}, n.vertices), make([]int, n.vertices)
		distance[source] = 0
		for changed := true; changed; {
			changed = false
			for i, a := range n.arcs {
				if a.room > 0 && distance[a.from] < far && distance[a.from]+a.cost < distance[a.to] {
					distance[a.to], via[a.to], changed = distance[a.from]+a.cost, i, true
				}
			}
		}
		if distance[sink] == far {
			return flow, cost
		}
		for v := sink; v != source; v = n.arcs[via[v]].from {
			n.arcs[via[v]].room--
			n.arcs[via[v]^1].room++
		}
		flow++
		cost += distance[sink]
	}
}
