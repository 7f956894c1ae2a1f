package ring

import (
	"cmp"
	"slices"
)

// rank is a candidate's place in the order of ids, from 1. The assigner works with ranks, so that
// nothing depends on the order in which candidates come, nor on their indexes.
type rank int32

const (
	nobody rank = 0  // stands in a vacant place
	noRank rank = -1 // not even nobody
)

// placement is the problem of which nodes hold a slot's replicas.
type placement struct {
	nodes    []Candidate // by rank
	everyone []rank      // but nobody
	zones    []int       // by rank
	crowd    []int       // by zone: how many replicas of one slot it may hold
	slots    int
	width    int    // replicas a slot is to have
	places   int    // R
	before   []rank // the present replicas: R places for each slot, primary first
	held     []int  // by rank: how many of those it has
}

func newPlacement(current []NodeIndex, replicas int, candidates []Candidate) *placement {
	p := &placement{
		nodes:  make([]Candidate, 1, len(candidates)+1),
		slots:  len(current) / replicas,
		width:  min(replicas, len(candidates)),
		places: replicas,
		before: make([]rank, len(current)),
		held:   make([]int, len(candidates)+1),
	}
	p.nodes = append(p.nodes, candidates...)
	slices.SortFunc(p.nodes[1:], func(a, b Candidate) int { return cmp.Compare(a.ID, b.ID) })
	ranks := make(map[NodeIndex]rank, len(candidates))
	for i := range candidates {
		node := rank(i + 1)
		ranks[p.nodes[node].Index] = node
		p.everyone = append(p.everyone, node)
	}
	p.zones, p.crowd = zonesOf(p.nodes, p.width)
	for i, index := range current {
		node, known := ranks[index]
		if earlier := p.before[i-i%replicas : i]; known && !slices.Contains(earlier, node) {
			p.before[i] = node
			p.held[node]++
		}
	}
	return p
}

// zonesOf numbers the zones and finds how many replicas of one slot each may hold: the lowest level
// at which all zones together, none beyond its nodes, can hold width of them. For R ≤ 3 every slot
// is then spread as evenly as can be. Zone 0 is nobody's.
func zonesOf(nodes []Candidate, width int) (zones, crowd []int) {
	numbers := map[string]int{}
	zones, sizes := []int{0}, []int{0}
	for _, node := range nodes[1:] {
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

// quotas shares the replicas of all slots among the nodes. A slot whose replicas are all pinned is out
// of reach of everybody else.
func (p *placement) quotas() []quota {
	reach, own := p.slots, make([]int, len(p.nodes))
	for slot := range p.slots {
		if pinned := p.pinned(slot); len(pinned) == p.width {
			reach--
			for _, node := range pinned {
				own[node]++
			}
		}
	}
	claims := make([]claim, len(p.nodes))
	limits := make([]int, len(p.crowd))
	for zone, crowd := range p.crowd {
		limits[zone] = reach * crowd
	}
	for _, node := range p.everyone {
		candidate := p.nodes[node]
		claims[node] = claim{weight: max(1, candidate.Weight), most: reach + own[node], held: p.held[node], group: p.zones[node]}
		limits[p.zones[node]] += own[node]
		if candidate.Pinned {
			claims[node].least = p.held[node]
		}
	}
	return apportion(p.slots*p.width, claims, limits)
}

// pinned lists those of the slot's replicas that must stay.
func (p *placement) pinned(slot int) []rank {
	var pinned []rank
	for _, node := range p.present(slot) {
		if p.nodes[node].Pinned {
			pinned = append(pinned, node)
		}
	}
	return pinned
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
		if node != leaving && p.zones[node] == zone {
			there++
		}
	}
	return there < p.crowd[zone] || p.zones[leaving] == zone
}

// worth is 1 for a replica that need not move.
func (p *placement) worth(slot int, node rank) int {
	if node != nobody && slices.Contains(p.present(slot), node) {
		return 1
	}
	return 0
}

// fixed: a pinned node keeps what it holds.
func (p *placement) fixed(slot int, node rank) bool {
	return p.nodes[node].Pinned && p.worth(slot, node) == 1
}
