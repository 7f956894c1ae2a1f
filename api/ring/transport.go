package ring

import "slices"

// rules say what one problem of transport allows, and what is best left as it is.
type rules interface {
	// entrants lists the nodes that may ever stand in the slot's row.
	entrants(slot int) []rank
	// admits says whether entering may take the place of leaving, or with nobody leaving a vacant one.
	admits(row []rank, leaving, entering rank) bool
	// worth is what it is worth to have the node in the slot.
	worth(slot int, node rank) int
	// fixed says that the node must not leave the slot.
	fixed(slot int, node rank) bool
}

// transport fills the rows of slots with nodes so that each node has its target, at the least loss of
// worth. It is a minimum-cost flow from slots to nodes, solved by successive shortest augmenting paths
// with node prices (Edmonds and Karp, 1972; Ahuja, Magnanti and Orlin, "Network Flows", section 9.7).
//
// Paths run over the nodes alone. A step from one node to another is a slot in which the second takes
// the first one's place; a path is a chain of such steps from a vacant place, or from a node with too
// much, to a node with room. Rows begin with nothing but what is worth most in them, so no first step
// gains anything and prices may begin at zero. Of equally cheap paths one with the fewest steps is
// taken: where such a path uses a slot twice, the two steps do not get into each other's way.
type transport struct {
	rules
	width  int
	rows   []rank  // width for each slot
	quotas []quota // by node; targets are moved between low and high
	load   []int   // by node: places it has
	stands []standing
	found  []int // by place of rows: where in its node's standing it is listed
	price  []int // by node; no step costs less than nothing once prices are added
	paths  search
}

// standing lists the places in rows where a node stands.
type standing struct {
	places []int
	next   int // where to look first; what lies before was last looked at in vain
}

func newTransport(rules rules, rows []rank, width int, quotas []quota) *transport {
	t := &transport{
		rules:  rules,
		width:  width,
		rows:   rows,
		quotas: slices.Clone(quotas),
		load:   make([]int, len(quotas)),
		stands: make([]standing, len(quotas)),
		found:  make([]int, len(rows)),
		price:  make([]int, len(quotas)),
		paths:  search{labels: make([]label, len(quotas))},
	}
	for place, node := range rows {
		if node != nobody {
			t.enter(place, node)
		}
	}
	return t
}

// settle fills every vacant place and relieves every node that has more than its target.
func (t *transport) settle() {
	for place, node := range t.rows {
		if node == nobody {
			t.follow(t.pathFrom(place / t.width))
		}
	}
	for node := range t.load {
		for t.room(rank(node)) < 0 {
			t.follow(t.pathOff(rank(node)))
		}
	}
}

func (t *transport) row(slot int) []rank { return t.rows[slot*t.width : (slot+1)*t.width] }

func (t *transport) room(node rank) int { return t.quotas[node].target - t.load[node] }

// pathFrom finds the best way to fill a vacant place of the slot, and returns its end.
func (t *transport) pathFrom(slot int) rank {
	t.paths.reset()
	for _, node := range t.entrants(slot) {
		if t.admits(t.row(slot), nobody, node) {
			cost := -t.worth(slot, node) - t.price[node]
			t.paths.reach(node, label{cost: cost, steps: 1, room: t.room(node), from: nobody, slot: slot})
		}
	}
	return t.end()
}

// pathOff finds the best way to take one place off the node, and returns its end.
func (t *transport) pathOff(node rank) rank {
	t.paths.reset()
	t.paths.reach(node, label{from: nobody, slot: noSlot})
	return t.end()
}

// end extends paths, the best first, until one comes to a node with room. Without pins there always
// is one. With them all may be full: then the node that is least full for its weight takes one more.
func (t *transport) end() rank {
	for {
		node := t.paths.next()
		if node == nobody {
			return t.leastFull()
		}
		if t.room(node) > 0 {
			return node
		}
		if end := t.extend(node); end != nobody {
			return end
		}
		t.extendByRounding(node)
	}
}

// extend adds every step that leads on from a node. When one leads at no further cost to a node with
// room, nothing better is left to find: it stops and returns that node.
func (t *transport) extend(node rank) rank {
	path, stand := t.paths.labels[node], &t.stands[node]
	for range stand.places {
		stand.next = (stand.next + 1) % len(stand.places)
		slot := stand.places[stand.next] / t.width
		if t.fixed(slot, node) {
			continue
		}
		leaving := path.cost + t.worth(slot, node) + t.price[node]
		for _, entrant := range t.entrants(slot) {
			cost := leaving - t.worth(slot, entrant) - t.price[entrant]
			step := label{cost: cost, steps: path.steps + 1, room: t.room(entrant), from: node, slot: slot}
			if !t.paths.improves(entrant, step) || !t.admits(t.row(slot), node, entrant) {
				continue
			}
			t.paths.reach(entrant, step)
			if step.cost == path.cost && step.room > 0 {
				stand.next-- // look here again
				return entrant
			}
		}
	}
	return nobody
}

// extendByRounding adds steps without a slot: the node keeps one more because its quota is rounded up
// instead of another's, which then has one too many.
func (t *transport) extendByRounding(node rank) {
	if t.quotas[node].target == t.quotas[node].high {
		return
	}
	path := t.paths.labels[node]
	for i, quota := range t.quotas {
		other := rank(i)
		cost := path.cost + t.price[node] - t.price[other]
		step := label{cost: cost, steps: path.steps + 1, room: t.room(other), from: node, slot: noSlot}
		if quota.target > quota.low && t.paths.improves(other, step) {
			t.paths.reach(other, step)
		}
	}
}

// leastFull picks, among the nodes that paths came to, the one to go over its target. Its quota is
// settled with that.
func (t *transport) leastFull() rank {
	best, bestLoad := nobody, 0
	for _, node := range t.paths.seen {
		load := t.load[node] + min(1, t.paths.labels[node].steps)
		if best == nobody || load*t.quotas[best].weight < bestLoad*t.quotas[node].weight {
			best, bestLoad = node, load
		}
	}
	target := t.quotas[best].target + 1
	t.quotas[best].low, t.quotas[best].high, t.quotas[best].target = target, target, target
	return best
}

// follow moves along the path to end, and raises prices so that its steps cost nothing either way.
func (t *transport) follow(end rank) {
	for _, node := range t.paths.seen {
		t.price[node] += min(0, t.paths.labels[node].cost-t.paths.labels[end].cost)
	}
	for node := end; node != nobody; node = t.paths.labels[node].from {
		switch step := t.paths.labels[node]; {
		case step.slot != noSlot:
			t.replace(step.slot, step.from, node)
		case step.from != nobody:
			t.quotas[step.from].target++
			t.quotas[node].target--
		}
	}
}

func (t *transport) replace(slot int, leaving, entering rank) {
	place := slot * t.width
	for t.rows[place] != leaving {
		place++
	}
	if leaving != nobody {
		t.leave(place, leaving)
	}
	t.enter(place, entering)
}

func (t *transport) enter(place int, node rank) {
	stand := &t.stands[node]
	t.rows[place], t.found[place] = node, len(stand.places)
	stand.places = append(stand.places, place)
	t.load[node]++
}

func (t *transport) leave(place int, node rank) {
	stand := &t.stands[node]
	last := len(stand.places) - 1
	moved := stand.places[last]
	stand.places[t.found[place]], t.found[moved] = moved, t.found[place]
	stand.places = stand.places[:last]
	t.load[node]--
}
