package ring

import "slices"

// rules say what one problem of transport allows, and what is best left as it is.
type rules interface {
	// entrants lists the nodes that may ever stand in the slot's row.
	entrants(slot int) []rank
	// admits says whether entering may take the place of leaving in a row.
	admits(row []rank, leaving, entering rank) bool
	// worth is what it is worth to have the node in the slot: 0 to worthMax.
	worth(slot int, node rank) int
	// fixed says that the node must not leave the slot.
	fixed(slot int, node rank) bool
}

const worthMax = 1 << 20

// transport fills the rows of slots with nodes so that each node has its target, at the least loss of
// worth. It is a minimum-cost flow from slots to nodes, solved by successive shortest augmenting paths
// with node prices (Edmonds and Karp, 1972; Ahuja, Magnanti and Orlin, "Network Flows", section 9.7).
//
// Paths run over the nodes alone. A step from one node to another is a slot in which the second takes
// the first one's place; a path is a chain of such steps from a node with too much to a node with
// room. Nobody counts as a node that has the vacant places and should have none. Rows begin with
// nothing but what is worth most in them, so no first step gains anything and prices may begin at
// zero. Of equally cheap paths one with the fewest steps is taken: where such a path uses a slot
// twice, the two steps do not get into each other's way.
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
	t.price[nobody] = worthMax // no step leads there, and from there none gains more
	for place, node := range rows {
		t.enter(place, node)
	}
	for node := range t.stands {
		t.shuffle(rank(node))
	}
	return t
}

// shuffle mixes the places of a node, so that those it gives away lie anywhere: were they always the
// first, newcomers would get them from all nodes alike and come to share most of their slots.
func (t *transport) shuffle(node rank) {
	places := t.stands[node].places
	for i := len(places) - 1; i > 0; i-- {
		j := int(scatter(i, node) % uint64(i+1))
		places[i], places[j] = places[j], places[i]
	}
	for i, place := range places {
		t.found[place] = i
	}
}

// settle relieves every node that has more than its target, nobody first.
func (t *transport) settle() {
	for i := range t.load {
		for node := rank(i); t.room(node) < 0; {
			t.relieve(node)
		}
	}
}

// relieve moves along the best path that takes a place off the node, and as often as it can again.
func (t *transport) relieve(node rank) {
	end := t.pathOff(node)
	t.reprice(end)
	t.follow(end)
	for t.room(node) < 0 && t.room(end) > 0 && t.repeat(end) {
		t.follow(end)
	}
}

func (t *transport) row(slot int) []rank { return t.rows[slot*t.width : (slot+1)*t.width] }

func (t *transport) room(node rank) int { return t.quotas[node].target - t.load[node] }

// pathOff finds the best path that takes one place off the node, and returns its end. Without pins
// there always is a node with room to end at. With them all that can be reached may be full: then the
// one that is least full for its weight takes one more.
func (t *transport) pathOff(node rank) rank {
	t.paths.reset()
	t.reach(node, label{from: noRank, slot: noSlot})
	for {
		node := t.paths.next()
		if node == noRank {
			return t.leastFull()
		}
		if t.room(node) > 0 {
			return node
		}
		if end := t.extend(node); end != noRank {
			return end
		}
		t.extendByRounding(node)
	}
}

func (t *transport) reach(node rank, path label) {
	path.room = t.room(node)
	t.paths.reach(node, path)
}

// extend adds every step that leads on from a node. When one leads at no further cost to a node with
// room, nothing better is left to find: it stops and returns that node.
func (t *transport) extend(node rank) rank {
	path, stand := t.paths.labels[node], &t.stands[node]
	for range stand.places {
		slot := t.lookOn(stand)
		if t.fixed(slot, node) {
			continue
		}
		leaving := path.cost + t.worth(slot, node) + t.price[node]
		for _, entrant := range t.entrants(slot) {
			cost := leaving - t.worth(slot, entrant) - t.price[entrant]
			if !t.paths.improves(entrant, cost, path.steps+1) || !t.admits(t.row(slot), node, entrant) {
				continue
			}
			t.reach(entrant, label{cost: cost, steps: path.steps + 1, from: node, slot: slot})
			if cost == path.cost && t.room(entrant) > 0 {
				return entrant
			}
		}
	}
	return noRank
}

// lookOn turns to the next place in a standing, round and round, and returns its slot.
func (t *transport) lookOn(stand *standing) int {
	stand.next = (stand.next + 1) % len(stand.places)
	return stand.places[stand.next] / t.width
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
		if quota.target > quota.low && t.paths.improves(other, cost, path.steps+1) {
			t.reach(other, label{cost: cost, steps: path.steps + 1, from: node, slot: noSlot})
		}
	}
}

// leastFull picks, among the nodes that paths came to, the one to go over its target. Its quota is
// settled with that.
func (t *transport) leastFull() rank {
	best, bestLoad := noRank, 0
	for _, node := range t.paths.seen {
		load := t.load[node] + min(1, t.paths.labels[node].steps)
		if node != nobody && (best == noRank || load*t.quotas[best].weight < bestLoad*t.quotas[node].weight) {
			best, bestLoad = node, load
		}
	}
	target := t.quotas[best].target + 1
	t.quotas[best].low, t.quotas[best].high, t.quotas[best].target = target, target, target
	return best
}

// reprice raises prices so that no step on the path to end costs anything, there or back.
func (t *transport) reprice(end rank) {
	for _, node := range t.paths.seen {
		t.price[node] += min(0, t.paths.labels[node].cost-t.paths.labels[end].cost)
	}
}

// follow moves along the path to end.
func (t *transport) follow(end rank) {
	for node := end; t.paths.labels[node].from != noRank; node = t.paths.labels[node].from {
		step := t.paths.labels[node]
		if step.slot == noSlot {
			t.quotas[step.from].target++
			t.quotas[node].target--
			continue
		}
		place := step.slot*t.width + slices.Index(t.row(step.slot), step.from)
		t.leave(place)
		t.enter(place, node)
	}
}

// repeat finds the path to end again, over the same nodes but other slots. While there is such a path
// there is none better: prices have made its steps free, and no shorter one has opened.
func (t *transport) repeat(end rank) bool {
	for node := end; t.paths.labels[node].from != noRank; node = t.paths.labels[node].from {
		slot, there := t.freeStep(t.paths.labels[node].from, node)
		if !there {
			return false
		}
		t.paths.labels[node].slot = slot
	}
	return true
}

// freeStep finds a slot in which entering takes leaving's place at no cost.
func (t *transport) freeStep(leaving, entering rank) (slot int, there bool) {
	stand := &t.stands[leaving]
	for range stand.places {
		slot := t.lookOn(stand)
		cost := t.worth(slot, leaving) + t.price[leaving] - t.worth(slot, entering) - t.price[entering]
		if cost == 0 && !t.fixed(slot, leaving) && slices.Contains(t.entrants(slot), entering) &&
			t.admits(t.row(slot), leaving, entering) {
			return slot, true
		}
	}
	return noSlot, false
}

func (t *transport) enter(place int, node rank) {
	stand := &t.stands[node]
	t.rows[place], t.found[place] = node, len(stand.places)
	stand.places = append(stand.places, place)
	t.load[node]++
}

func (t *transport) leave(place int) {
	node := t.rows[place]
	stand := &t.stands[node]
	last := len(stand.places) - 1
	moved := stand.places[last]
	stand.places[t.found[place]], t.found[moved] = moved, t.found[place]
	stand.places = stand.places[:last]
	t.load[node]--
}
