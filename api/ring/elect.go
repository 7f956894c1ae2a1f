package ring

import "slices"

// stays is the worth of leaving a slot's primary as it is: more than all slots are worth otherwise.
const stays = 1 << 20

// electing is the problem of which of a slot's replicas is its primary.
type electing struct {
	placing *placement
	rows    []rank // the replicas of every slot
}

// elect puts a primary in front of each slot's replicas, so that every node is primary of its
// replicas' R-th part, rounded either way. Such a choice always exists. The one made changes the
// fewest primaries, and otherwise prefers replicas that are there already over new ones.
func elect(placing *placement, rows []rank, load []int) {
	if placing.width < 2 {
		return
	}
	claims := make([]claim, len(load))
	for node, replicas := range load {
		claims[node] = claim{weight: replicas, most: replicas}
	}
	problem := &electing{placing: placing, rows: rows}
	primaries := slices.Repeat([]rank{nobody}, placing.slots)
	for slot := range primaries {
		if primary := problem.primary(slot); slices.Contains(problem.entrants(slot), primary) {
			primaries[slot] = primary
			claims[primary].held++
		}
	}
	choice := newTransport(problem, primaries, 1, apportion(placing.slots, claims, []int{placing.slots}))
	choice.settle()
	for slot, primary := range choice.rows {
		row := problem.entrants(slot)
		place := slices.Index(row, primary)
		copy(row[1:place+1], row[:place])
		row[0] = primary
	}
}

// primary is the one the slot has now.
func (e *electing) primary(slot int) rank { return e.placing.present(slot)[0] }

func (e *electing) entrants(slot int) []rank {
	return e.rows[slot*e.placing.width : (slot+1)*e.placing.width]
}

func (e *electing) admits(row []rank, _, entering rank) bool { return row[0] != entering }

func (e *electing) worth(slot int, node rank) int {
	if node == e.primary(slot) {
		return stays
	}
	return e.placing.worth(slot, node)
}

func (e *electing) fixed(int, rank) bool { return false }
