package ring

import "slices"

// electing is the problem of which of a slot's replicas is its primary.
type electing struct {
	placing *placement
	rows    []rank // the replicas of every slot
}

// elect puts a primary in front of each slot's replicas. With R replicas a slot, every node is primary
// of the R-th part of its replicas, rounded either way; such a choice always exists. The one made
// changes the fewest primaries, and otherwise prefers replicas that are there already over new ones.
func elect(placing *placement, rows []rank, load []int) {
	if placing.width < 2 {
		return
	}
	e := &electing{placing: placing, rows: rows}
	claims := make([]claim, len(load))
	for node, replicas := range load {
		claims[node] = claim{weight: replicas, most: replicas}
	}
	for slot := range placing.slots {
		claims[e.remaining(slot)].held++
	}
	quotas := apportion(placing.slots, claims, []int{placing.slots})
	choice := newTransport(e, e.start(quotas), 1, quotas)
	choice.settle()
	for slot, primary := range choice.rows {
		row := e.entrants(slot)
		place := slices.Index(row, primary)
		copy(row[1:place+1], row[:place])
		row[0] = primary
	}
}

// start leaves primaries as they are. Where there is none, that replica takes its place which has the
// most room, of those worth most: the ones that are there already, if any.
func (e *electing) start(quotas []quota) []rank {
	primaries := make([]rank, e.placing.slots)
	rooms := make([]int, len(quotas))
	for node, quota := range quotas {
		rooms[node] = quota.target
	}
	for slot := range primaries {
		primaries[slot] = e.remaining(slot)
		rooms[primaries[slot]]--
	}
	for slot, primary := range primaries {
		if primary != nobody {
			continue
		}
		row := e.entrants(slot)
		best := slices.MaxFunc(row, func(a, b rank) int {
			if a, b := e.worth(slot, a), e.worth(slot, b); a != b {
				return a - b
			}
			return rooms[a] - rooms[b]
		})
		if rooms[best] > 0 {
			primaries[slot] = best
			rooms[best]--
		}
	}
	return primaries
}

// remaining is the primary that the slot has now, nobody if it is no replica any more.
func (e *electing) remaining(slot int) rank {
	if primary := e.placing.present(slot)[0]; slices.Contains(e.entrants(slot), primary) {
		return primary
	}
	return nobody
}

func (e *electing) entrants(slot int) []rank {
	return e.rows[slot*e.placing.width : (slot+1)*e.placing.width]
}

func (e *electing) admits(row []rank, _, entering rank) bool { return row[0] != entering }

func (e *electing) worth(slot int, node rank) int {
	if node != nobody && node == e.placing.present(slot)[0] {
		return worthMax // more than all other slots together
	}
	return e.placing.worth(slot, node)
}

func (e *electing) fixed(int, rank) bool { return false }
