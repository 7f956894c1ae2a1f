package planner

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// spreadManaged assigns all slots but those that recover. Who is down and not out keeps its places; it is
// given no more of them, for they would wait for its return.
func spreadManaged(state *fsm.State, table *ring.Table, settle []api.ChangeID) []ring.NodeIndex {
	keeps := keepers(state, settle)
	takers := candidates(state, false)
	assignees := slices.Clone(takers)
	for _, node := range state.Nodes() {
		if keeps[node.Index] {
			assignees = append(assignees, ring.Candidate{
				Index: node.Index, ID: node.Registration.ID, Weight: node.Registration.Weight, Zone: node.Registration.Zone, Pinned: true,
			})
		}
	}
	var free []ring.Slot
	var held []ring.NodeIndex
	for slot := range table.Epochs {
		if !state.Slot(ring.Slot(slot)).Recovering() {
			free = append(free, ring.Slot(slot))
			held = append(held, table.ReplicasOf(ring.Slot(slot))...)
		}
	}
	assigned := ring.Assign(held, table.Replicas, assignees).Want
	relieve(held, assigned, table.Replicas, keeps, takers)
	want := slices.Clone(table.Owners)
	for i, slot := range free {
		copy(want[int(slot)*table.Replicas:], assigned[i*table.Replicas:(i+1)*table.Replicas])
	}
	return want
}

// relieve gives the places that nodes which are down would gain to others.
func relieve(held, want []ring.NodeIndex, replicas int, keeps map[ring.NodeIndex]bool, takers []ring.Candidate) {
	if len(keeps) == 0 {
		return
	}
	relief := relief{takers: takers, load: make(map[ring.NodeIndex]int)}
	for _, index := range want {
		relief.load[index]++
	}
	for first := 0; first < len(want); first += replicas {
		row, had := want[first:first+replicas], held[first:first+replicas]
		for place, index := range row {
			if keeps[index] && !slices.Contains(had, index) {
				row[place] = relief.instead(row, place)
			}
		}
		slices.SortStableFunc(row, func(a, b ring.NodeIndex) int { return vacant(a) - vacant(b) })
	}
}

func vacant(index ring.NodeIndex) int {
	if index == ring.NoNode {
		return 1
	}
	return 0
}

type relief struct {
	takers []ring.Candidate
	load   map[ring.NodeIndex]int // replicas wanted of each node
}

// instead is the node that a place of a row goes to: of another zone than the rest, if there is one, and with
// the least to hold for its weight. NoNode: all that could take it are in the row.
func (r *relief) instead(row []ring.NodeIndex, place int) ring.NodeIndex {
	var best *ring.Candidate
	zones := r.zones(row, place)
	for i := range r.takers {
		taker := &r.takers[i]
		if !slices.Contains(row, taker.Index) && (best == nil || r.better(taker, best, zones)) {
			best = taker
		}
	}
	if best == nil {
		return ring.NoNode
	}
	r.load[row[place]]--
	r.load[best.Index]++
	return best.Index
}

func (r *relief) better(a, b *ring.Candidate, zones []string) bool {
	if a, b := slices.Contains(zones, a.Zone), slices.Contains(zones, b.Zone); a != b {
		return b
	}
	left, right := (r.load[a.Index]+1)*b.Weight, (r.load[b.Index]+1)*a.Weight
	return left < right || left == right && a.ID < b.ID
}

// zones are those that the rest of a row is in.
func (r *relief) zones(row []ring.NodeIndex, place int) (zones []string) {
	for _, taker := range r.takers {
		if at := slices.Index(row, taker.Index); at >= 0 && at != place && taker.Zone != "" {
			zones = append(zones, taker.Zone)
		}
	}
	return zones
}

// Outs lists nodes, at most so many, that have been down for long and whose places others are to take: what
// is drained goes anyway, and whose absence is expected is waited for.
func Outs(state *fsm.State, after time.Duration, now time.Time, most int) (outs []fsm.Out) {
	if !state.Managed() {
		return nil
	}
	for _, node := range state.Nodes() {
		gone := node.Status == api.NodeDown && !node.Out && !node.Draining && !node.Maintained(now)
		if gone && now.Sub(time.UnixMilli(node.Since)) >= after && len(outs) < most {
			outs = append(outs, fsm.Out{Node: node.Registration.ID, Session: node.Session})
		}
	}
	return outs
}
