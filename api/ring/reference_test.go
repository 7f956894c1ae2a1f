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

// zone numbers a node's zone; nodes without one have their own.
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

// shares lets water rise in all nodes at the rate of their weight, event by event, until total is
// poured. least is where each node stands to begin with.
func shares(total int, weights, least, most []int, zones []string, limits map[string]int) []*big.Rat {
	level, poured := new(big.Rat), new(big.Rat)
	share := make([]*big.Rat, len(weights))
	done := make([]bool, len(weights))
	for i := range share {
		share[i] = big.NewRat(int64(least[i]), 1)
		poured.Add(poured, share[i])
	}
	rat := func(a, b int) *big.Rat { return big.NewRat(int64(a), int64(b)) }
	for poured.Cmp(rat(total, 1)) < 0 {
		// Whose water rises now: at the level, and neither full nor in a full zone.
		inZone, rate := map[string]*big.Rat{}, map[string]int{}
		for i := range share {
			if inZone[zones[i]] == nil {
				inZone[zones[i]] = new(big.Rat)
			}
			inZone[zones[i]].Add(inZone[zones[i]], share[i])
		}
		rising, all := []int{}, 0
		for i := range share {
			full := inZone[zones[i]].Cmp(rat(limits[zones[i]], 1)) >= 0 || share[i].Cmp(rat(most[i], 1)) >= 0
			done[i] = done[i] || full
			at := new(big.Rat).Mul(level, rat(weights[i], 1))
			if !done[i] && share[i].Cmp(at) <= 0 {
				rising = append(rising, i)
				rate[zones[i]] += weights[i]
				all += weights[i]
			}
		}
		// How far until something happens.
		var step *big.Rat
		until := func(distance *big.Rat, speed int) {
			reach := new(big.Rat).Quo(distance, rat(speed, 1))
			if speed > 0 && (step == nil || reach.Cmp(step) < 0) {
				step = reach
			}
		}
		if all > 0 {
			until(new(big.Rat).Sub(rat(total, 1), poured), all)
		}
		for _, i := range rising {
			until(new(big.Rat).Sub(rat(most[i], 1), share[i]), weights[i])
			until(new(big.Rat).Sub(rat(limits[zones[i]], 1), inZone[zones[i]]), rate[zones[i]])
		}
		for i := range share {
			if at := new(big.Rat).Mul(level, rat(weights[i], 1)); !done[i] && share[i].Cmp(at) > 0 {
				until(new(big.Rat).Sub(share[i], at), weights[i])
			}
		}
		level.Add(level, step)
		for _, i := range rising {
			more := new(big.Rat).Mul(step, rat(weights[i], 1))
			share[i].Add(share[i], more)
			poured.Add(poured, more)
		}
	}
	return share
}

// bounds are the quotas, rounded down and up.
func (w *world) bounds() (low, high []int) {
	held, crowd, open, own := w.held(w.current), w.crowd(), w.slots(), make([]int, len(w.nodes))
	for slot := range w.slots() {
		if pinned := w.pinned(slot); len(pinned) == w.width() {
			open--
			for _, node := range pinned {
				own[node]++
			}
		}
	}
	weights, least, most := make([]int, len(w.nodes)), make([]int, len(w.nodes)), make([]int, len(w.nodes))
	zones, limits, pinned := make([]string, len(w.nodes)), map[string]int{}, map[string]int{}
	for i, node := range w.nodes {
		weights[i], most[i], zones[i] = node.Weight, open+own[i], w.zone(i)
		if node.Pinned {
			least[i] = held[i]
		}
		pinned[zones[i]] += least[i]
		limits[zones[i]] += own[i]
	}
	for zone := range limits {
		limits[zone] = max(limits[zone]+open*crowd[zone], pinned[zone])
	}
	return round(shares(w.slots()*w.width(), weights, least, most, zones, limits))
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

func round(shares []*big.Rat) (low, high []int) {
	for _, share := range shares {
		floor := new(big.Int).Quo(share.Num(), share.Denom())
		low = append(low, int(floor.Int64()))
		high = append(high, int(floor.Int64()))
		if !share.IsInt() {
			high[len(high)-1]++
		}
	}
	return low, high
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
		slot, zones, pinned := net.vertex(), map[string]int{}, map[string]int{}
		net.arc(source, slot, w.width(), 0)
		for _, i := range w.pinned(s) {
			pinned[w.zone(i)]++
			musts += mustStay
		}
		for i, candidate := range w.nodes {
			zone, known := zones[w.zone(i)]
			if !known {
				zone = net.vertex()
				zones[w.zone(i)] = zone
				net.arc(slot, zone, max(crowd[w.zone(i)], pinned[w.zone(i)]), 0)
			}
			cost := 1
			if slices.Contains(w.row(w.current, s), candidate.Index) {
				cost = 0
			}
			if slices.Contains(w.pinned(s), i) {
				cost = mustStay
			}
			net.arc(zone, nodes[i], 1, cost)
		}
	}
	flow, cost := net.solve(source, sink)
	return cost - musts, flow == w.slots()*w.width() && cost-musts < -mustFill
}

// fewestSwaps is the least number of slots that lose a primary which is still a replica, if every
// node is primary of its load's share rounded either way.
func (w *world) fewestSwaps(want []ring.NodeIndex) int {
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
