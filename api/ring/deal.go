package ring

import (
	"cmp"
	"slices"
)

// start is where the work begins: every slot keeps its replicas but those that crowd a zone, and
// vacant places go to nodes with room.
func (p *placement) start(quotas []quota) []rank {
	rows := make([]rank, p.slots*p.width) // nobody everywhere
	rooms := make([]int, len(p.nodes))
	for node, quota := range quotas {
		rooms[node] = quota.target
	}
	for slot := range p.slots {
		for _, pinned := range []bool{true, false} {
			for _, node := range p.present(slot) {
				if node != nobody && p.nodes[node].Pinned == pinned && p.seat(rows, slot, node, pinned) {
					rooms[node]--
				}
			}
		}
	}
	p.deal(rows, rooms)
	return rows
}

// deal gives vacant places away in rounds: first those nodes take one that have the most room, then
// these and whoever has only one less, and so on, in each round in another order. If neighbours always
// came one behind the other, the same few nodes would share all their slots, and when one fails those
// few would have to bear all its load. What does not fit is left over for transport.
func (p *placement) deal(rows []rank, rooms []int) {
	var open []int
	for slot := range p.slots {
		if slices.Contains(p.row(rows, slot), nobody) && p.intact(rows, slot) {
			open = append(open, slot)
		}
	}
	order := slices.Clone(p.everyone)
	slices.SortStableFunc(order, func(a, b rank) int { return rooms[b] - rooms[a] })
	next := make([]int, len(p.nodes)) // open slots before this one will not take the node any more,
	full := 0                         // and those before this one nobody: they have no vacant place
	players := 0
	for round := rooms[order[0]]; round > 0; round-- {
		for players < len(order) && rooms[order[players]] >= round {
			players++
		}
		slices.SortFunc(order[:players], func(a, b rank) int {
			return cmp.Compare(scatter(round, a), scatter(round, b))
		})
		for _, node := range order[:players] {
			for full < len(open) && !slices.Contains(p.row(rows, open[full]), nobody) {
				full++
			}
			next[node] = max(next[node], full)
			for next[node] < len(open) && !p.seat(rows, open[next[node]], node, false) {
				next[node]++
			}
		}
	}
}

// seat gives the node a vacant place of the slot, if its zone is not crowded then or it must be.
func (p *placement) seat(rows []rank, slot int, node rank, must bool) bool {
	row := p.row(rows, slot)
	vacant := slices.Index(row, nobody)
	if vacant < 0 || !must && !p.admits(row, nobody, node) {
		return false
	}
	row[vacant] = node
	return true
}

// intact says whether the slot still has all the replicas it had. In one that has not, one may come
// back when another leaves, so that its vacant places are not for just anybody.
func (p *placement) intact(rows []rank, slot int) bool {
	for _, node := range p.present(slot) {
		if node != nobody && !slices.Contains(p.row(rows, slot), node) {
			return false
		}
	}
	return true
}
