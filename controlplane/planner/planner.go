// Package planner turns a state into the ring it should have: table and nodes in, want out.
//
// It is pure and runs on the leader alone; Raft commits its result. It owns who may hold slots and
// which slots may move for which cause, and when a plan is due; the arithmetic of spreading them is
// api/ring's assigner, the moving itself is the state machine's.
//
// A proposal is a plan that a person asked to see: the command that carries it out, applied to a copy.
//
// Its invariants: a slot leaves a node whose state waits for it (on_down: wait) only when a change that
// a person asked for says so; a slot that recovers is left alone. Where nodes hand slots over, a plan starts
// from what is wanted, not from where slots happen to be on their way there, and a node that is down keeps
// its places until it is out.
package planner

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// Policy holds the planner's settings.
type Policy struct {
	// Delay after the last join before the ring is planned anew, so that nodes that start together
	// share it.
	Delay time.Duration
	// EvictShare of the nodes, at least one, may be given up for dead within EvictWindow; what goes
	// beyond is held for a person.
	EvictShare  float64
	EvictWindow time.Duration
}

// Agenda is what the planner would do now.
type Agenda struct {
	// Settle lists the pending changes that a plan made now would answer; empty: none is due.
	Settle []api.ChangeID
	// Hold lists the expiries that go beyond what the governor allows.
	Hold []api.ChangeID
	// Wait is how long until the changes that are not due yet are; zero: there are none.
	Wait time.Duration
}

// Due looks through the pending changes. What a person asked for, and what the death of a node calls
// for, is due at once; joins wait until Delay has passed since the last of them was first seen by this
// leader. That a node in maintenance is gone is no news until its maintenance ends.
func Due(state *fsm.State, policy Policy, seen map[api.ChangeID]time.Time, now time.Time) Agenda {
	var agenda Agenda
	var joins []api.ChangeID
	var lastJoin time.Time
	pending := state.Pending()
	allowed := 0
	if slices.ContainsFunc(pending, isExpiry) {
		allowed = allowance(state, policy, now)
	}
	for _, change := range pending {
		if left := maintenanceLeft(state, change, now); left > 0 {
			agenda.postpone(left)
			continue
		}
		switch {
		case isExpiry(change) && allowed <= 0:
			agenda.Hold = append(agenda.Hold, change.ID)
		case isExpiry(change):
			allowed--
			agenda.Settle = append(agenda.Settle, change.ID)
		case isJoin(change.Kind):
			joins = append(joins, change.ID)
			if seen[change.ID].After(lastJoin) {
				lastJoin = seen[change.ID]
			}
		default:
			agenda.Settle = append(agenda.Settle, change.ID)
		}
	}
	if len(joins) == 0 {
		return agenda
	}
	if wait := lastJoin.Add(policy.Delay).Sub(now); wait > 0 {
		agenda.postpone(wait)
		return agenda
	}
	agenda.Settle = append(agenda.Settle, joins...)
	slices.Sort(agenda.Settle)
	return agenda
}

func (a *Agenda) postpone(wait time.Duration) {
	if a.Wait == 0 || wait < a.Wait {
		a.Wait = wait
	}
}

// maintenanceLeft is how long a node's expiry must wait for the end of its maintenance. It ends by the
// state's clock, which may have run ahead of this leader's.
func maintenanceLeft(state *fsm.State, change *fsm.Change, now time.Time) time.Duration {
	if latest := state.Time(); latest.After(now) {
		now = latest
	}
	node := state.Node(change.Node)
	if !change.Expires() || node == nil || !node.Maintained(now) {
		return 0
	}
	return time.UnixMilli(node.Maintenance).Sub(now)
}

func isExpiry(change *fsm.Change) bool { return GivesUp(change) }

// GivesUp reports whether a change gives a node up that fell silent, which the governor limits.
func GivesUp(change *fsm.Change) bool { return change.Kind == "expire" || change.Kind == "out" }

func isJoin(kind string) bool {
	return kind == "register" || kind == "return" || kind == "undrain" || kind == "replace"
}

// allowance is how many more nodes may be given up now: the governor's rule, counted over nodes that
// were given up within the window and are still gone. It goes by the nodes, of which all are known;
// history says how and when they were given up, as far as it reaches.
func allowance(state *fsm.State, policy Policy, now time.Time) int {
	nodes := state.Nodes()
	allowed := max(1, int(policy.EvictShare*float64(len(nodes))))
	downfalls := downfalls(state)
	for _, node := range nodes {
		gone := node.Status == api.NodeDown && givesWay(state, node) && !node.Held
		if gone && now.Sub(givenUp(node, downfalls[node.Registration.ID])) < policy.EvictWindow {
			allowed--
		}
	}
	return allowed
}

// givenUp is when a node that is gone was given up; long ago, if it was not. When that was, not when it
// fell silent, counts: between the two may lie a maintenance. A downfall that history has forgotten
// was answered, and is taken for one that followed the silence.
func givenUp(node *fsm.Node, downfall *fsm.Change) time.Time {
	switch {
	case downfall == nil:
		return time.UnixMilli(node.Since)
	case downfall.Kind == "out" && (downfall.Status == api.ChangeRunning || downfall.Status == api.ChangeDone):
		return time.UnixMilli(downfall.Time) // it is done when the last slot has moved
	case downfall.Kind == "leave" || downfall.Status != api.ChangeDone:
		return time.Time{}
	default:
		return time.UnixMilli(downfall.Finished)
	}
}

// downfalls finds the change that last took each node down.
func downfalls(state *fsm.State) map[api.NodeID]*fsm.Change {
	last := make(map[api.NodeID]*fsm.Change)
	changes, _ := state.Changes(0, maxInt)
	for _, change := range changes { // newest first
		if change.Expires() && last[change.Node] == nil {
			last[change.Node] = change
		}
	}
	return last
}

const maxInt = int(^uint(0) >> 1)

// Plan computes the wanted replicas of every slot, and how many differ from the present ones.
func Plan(state *fsm.State, settle []api.ChangeID) (want []ring.NodeIndex, moved int) {
	table := current(state)
	want = spread(state, table, settle, mayTakeFromWaiting(state, settle))
	for slot := range table.Epochs {
		row := want[slot*table.Replicas : (slot+1)*table.Replicas]
		if !slices.Equal(row, table.ReplicasOf(ring.Slot(slot))) {
			moved++
		}
	}
	return want, moved
}

// current is the ring that a plan starts from: as it is, or where nodes hand slots over, as it is wanted.
func current(state *fsm.State) *ring.Table {
	if state.Managed() {
		return state.WantTable()
	}
	return state.Table()
}

// spread assigns the slots that may be touched, and leaves the others where they are.
func spread(state *fsm.State, table *ring.Table, settle []api.ChangeID, takeFromWaiting bool) []ring.NodeIndex {
	if state.Managed() {
		return spreadManaged(state, table, settle)
	}
	free := slotsFree(state, table, settle)
	current := make([]ring.NodeIndex, 0, len(free)*table.Replicas)
	for _, slot := range free {
		current = append(current, table.ReplicasOf(slot)...)
	}
	assignment := ring.Assign(current, table.Replicas, candidates(state, takeFromWaiting))
	want := slices.Clone(table.Owners)
	for i, slot := range free {
		copy(want[int(slot)*table.Replicas:], assignment.Want[i*table.Replicas:(i+1)*table.Replicas])
	}
	return want
}

// slotsFree lists the slots that a plan may touch: all but those that recover, for a store may yet say
// that it has them, and those that stay with a node that is down, because their state waits for it, because the governor holds it, or because nobody gave it up yet.
func slotsFree(state *fsm.State, table *ring.Table, settle []api.ChangeID) []ring.Slot {
	keeps := keepers(state, settle)
	free := make([]ring.Slot, 0, len(table.Epochs))
	for slot := range table.Epochs {
		stays := slices.ContainsFunc(table.ReplicasOf(ring.Slot(slot)), func(index ring.NodeIndex) bool { return keeps[index] })
		if !stays && !state.Slot(ring.Slot(slot)).Recovering() {
			free = append(free, ring.Slot(slot))
		}
	}
	return free
}

// keepers are the nodes that are down and keep their slots.
func keepers(state *fsm.State, settle []api.ChangeID) map[ring.NodeIndex]bool {
	expiring, givenUp := make(map[api.NodeID]bool), make(map[api.NodeID]bool)
	for _, change := range state.Pending() {
		if change.Expires() {
			expiring[change.Node] = true
			givenUp[change.Node] = givenUp[change.Node] || slices.Contains(settle, change.ID)
		}
	}
	keeps := make(map[ring.NodeIndex]bool)
	for _, node := range state.Nodes() {
		id := node.Registration.ID
		awaited := !givenUp[id] && (expiring[id] || node.Maintained(state.Time()))
		if node.Status == api.NodeDown && !node.Draining && (!givesWay(state, node) || node.Held || awaited) {
			keeps[node.Index] = true
		}
	}
	return keeps
}

// givesWay reports whether others may take the places of a node that is down.
func givesWay(state *fsm.State, node *fsm.Node) bool {
	if state.Managed() {
		return node.Out
	}
	return node.Resets()
}

// mayTakeFromWaiting reports whether one of the changes is a person's word that slots may leave nodes
// whose state waits for them.
func mayTakeFromWaiting(state *fsm.State, settle []api.ChangeID) bool {
	for _, id := range settle {
		change, problem := state.Change(id)
		if problem == nil && (change.Kind == "rebalance" || change.Kind == "weight" || change.Kind == "zone") {
			return true
		}
	}
	return false
}

// candidates lists the nodes that may hold slots. One that drains is not among them: its slots go.
func candidates(state *fsm.State, takeFromWaiting bool) []ring.Candidate {
	var list []ring.Candidate
	for _, node := range state.Nodes() {
		if !node.Takes() {
			continue
		}
		list = append(list, ring.Candidate{
			Index: node.Index, ID: node.Registration.ID,
			Weight: node.Registration.Weight, Zone: node.Registration.Zone,
			Pinned: !state.Managed() && !node.Resets() && !takeFromWaiting,
		})
	}
	return list
}
