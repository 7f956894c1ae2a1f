package ring

import (
	"cmp"
	"slices"
)

// rank is a candidate's place in the order of ids. The assigner works with ranks, so that nothing
// depends on the order in which candidates come, nor on their indexes.
type rank int32

// nobody stands in a vacant place.
const nobody rank = -1

// placement is the problem of which nodes hold a slot's replicas.
type placement struct {
	nodes    []Candidate // by rank
	everyone []rank
	zones    []int // by rank
	crowd    []int // by zone: how many replicas of one slot it may hold
	slots    int
	width    int    // replicas a slot is to have
	places   int    // R
	before   []rank // the present replicas: R for each slot, primary first
	held     []int  // by rank: how many of those it has
}

func newPlacement(current []NodeIndex, replicas int, nodes []Candidate) *placement {
	p := &placement{
		nodes:  nodes,
		slots:  len(current) / replicas,
		width:  min(replicas, len(nodes)),
		places: replicas,
		before: make([]rank, len(current)),
		held:   make([]int, len(nodes)),
	}
	ranks := make(map[NodeIndex]rank, len(nodes))
	for i, candidate := range nodes {
		ranks[candidate.Index] = rank(i)
		p.everyone = append(p.everyone, rank(i))
	}
	p.zones, p.crowd = zonesOf(nodes, p.width)
	for i, index := range current {
		node, known := ranks[index]
		if earlier := p.before[i-i%replicas : i]; !known || slices.Contains(earlier, node) {
			p.before[i] = nobody
			continue
		}
		p.before[i] = node
		p.held[node]++
	}
	return p
}

// zonesOf numbers the zones and finds how many replicas of one slot each may hold: the lowest level
// at which all zones together, none beyond its nodes, can hold width of them. For R ≤ 3 every slot
// is then spread as evenly as can be.
func zonesOf(nodes []Candidate, width int) (zones, crowd []int) {
	numbers := map[string]int{}
	sizes := []int{}
	for _, node := range nodes {
		zone, known := numbers[node.Zone]
		if !known || node.Zone == "" {
			zone = len(sizes)
			numbers[node.Zone] = zone
			sizes = append(sizes, 0)
		}
		sizes[zone]++
		zones = append(zones, zone)
	}
	for level := 1; ; level++ {
		crowd, room := make([]int, len(sizes)), 0
		for zone, size := range sizes {
			crowd[zone] = min(size, level)
			room += crowd[zone]
		}
		if room >= width {
			return zones, crowd
		}
	}
}

// quotas shares the replicas of all slots among the nodes.
func (p *placement) quotas() []quota {
	claims := make([]claim, len(p.nodes))
	for node, candidate := range p.nodes {
		claims[node] = claim{weight: max(1, candidate.Weight), most: p.slots, held: p.held[node], group: p.zones[node]}
		if candidate.Pinned {
			claims[node].least = p.held[node]
		}
	}
	limits := make([]int, len(p.crowd))
	for zone, crowd := range p.crowd {
		limits[zone] = p.slots * crowd
	}
	return apportion(p.slots*p.width, claims, limits)
}

// start is where the work begins: every slot keeps its replicas but those that crowd a zone, and
// vacant places go to nodes with room.
func (p *placement) start(quotas []quota) []rank {
	rows := slices.Repeat([]rank{nobody}, p.slots*p.width)
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
	next := make([]int, len(p.nodes)) // open slots before this one will not take the node any more
	players := 0
	for round := rooms[order[0]]; round > 0; round-- {
		for players < len(order) && rooms[order[players]] >= round {
			players++
		}
		slices.SortFunc(order[:players], func(a, b rank) int {
			return cmp.Compare(scatter(round, a), scatter(round, b))
		})
		for _, node := range order[:players] {
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

func (p *placement) row(rows []rank, slot int) []rank { return rows[slot*p.width : (slot+1)*p.width] }

// present lists the slot's replicas before anything moves.
func (p *placement) present(slot int) []rank { return p.before[slot*p.places : (slot+1)*p.places] }

// inOrder sorts each slot's new replicas: those it has, in the order it has them, before new ones.
func (p *placement) inOrder(rows []rank) []rank {
	order := slices.Clone(rows)
	for slot := range p.slots {
		present := p.present(slot)
		standing := func(node rank) int {
			if place := slices.Index(present, node); place >= 0 {
				return place
			}
			return p.places + int(node)
		}
		slices.SortFunc(p.row(order, slot), func(a, b rank) int {
			return standing(a) - standing(b)
		})
	}
	return order
}

// entrants: any node may hold any slot.
func (p *placement) entrants(int) []rank { return p.everyone }

// admits holds nodes distinct and zones uncrowded.
func (p *placement) admits(row []rank, leaving, entering rank) bool {
	zone, there := p.zones[entering], 0
	for _, node := range row {
		if node == entering {
			return false
		}
		if node != nobody && node != leaving && p.zones[node] == zone {
			there++
		}
	}
	return there < p.crowd[zone] || leaving != nobody && p.zones[leaving] == zone
}

// worth is 1 for a replica that need not move.
func (p *placement) worth(slot int, node rank) int {
	if slices.Contains(p.present(slot), node) {
		return 1
	}
	return 0
}

// fixed: a pinned node keeps what it holds.
func (p *placement) fixed(slot int, node rank) bool {
	return p.nodes[node].Pinned && p.worth(slot, node) == 1
}
