// Package planner turns a state into the ring it should have: table and nodes in, want out.
//
// It is pure and runs on the leader alone; Raft commits its result. It owns who may hold slots and
// which slots may move for which cause, and when a plan is due; the arithmetic of spreading them is
// api/ring's assigner, the moving itself is the state machine's.
//
// Its invariants: a slot leaves a node whose state waits for it (on_down: wait) only when a change that
// a person asked for says so; a slot that recovers is left alone.
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
// leader.
func Due(state *fsm.State, policy Policy, seen map[api.ChangeID]time.Time, now time.Time) Agenda {
	var agenda Agenda
	var joins []api.ChangeID
	var lastJoin time.Time
	allowance := allowance(state, policy, now)
	for _, change := range state.Pending() {
		switch {
		case change.Kind == "expire" && allowance <= 0:
			agenda.Hold = append(agenda.Hold, change.ID)
		case change.Kind == "expire":
			allowance--
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
		agenda.Wait = wait
		return agenda
	}
	agenda.Settle = append(agenda.Settle, joins...)
	slices.Sort(agenda.Settle)
	return agenda
}

func isJoin(kind string) bool {
	return kind == "register" || kind == "return" || kind == "undrain" || kind == "replace"
}

// allowance is how many more nodes may be given up now: the governor's rule, counted over nodes that
// were given up within the window and are still gone.
func allowance(state *fsm.State, policy Policy, now time.Time) int {
	nodes := state.Nodes()
	allowed := max(1, int(policy.EvictShare*float64(len(nodes))))
	changes, _ := state.Changes(0, maxInt)
	gone := make(map[api.NodeID]bool)
	for _, change := range changes {
		recent := now.Sub(time.UnixMilli(change.Time)) < policy.EvictWindow
		if !recent {
			break
		}
		if change.Kind != "expire" || change.Status != api.ChangeDone {
			continue
		}
		node := state.Node(change.Node)
		stillGone := node != nil && node.Resets() && node.Status == api.NodeDown && node.Since <= change.Time
		if stillGone {
			gone[change.Node] = true
		}
	}
	return allowed - len(gone)
}

const maxInt = int(^uint(0) >> 1)

// Plan computes the wanted replicas of every slot, and how many differ from the present ones.
func Plan(state *fsm.State, settle []api.ChangeID) (want []ring.NodeIndex, moved int) {
	table := state.Table()
	free := slotsFree(state, table)
	current := make([]ring.NodeIndex, 0, len(free)*table.Replicas)
	for _, slot := range free {
		current = append(current, table.ReplicasOf(slot)...)
	}
	assignment := ring.Assign(current, table.Replicas, candidates(state, mayTakeFromWaiting(state, settle)))
	want = slices.Clone(table.Owners)
	for i, slot := range free {
		row := assignment.Want[i*table.Replicas : (i+1)*table.Replicas]
		if !slices.Equal(row, table.ReplicasOf(slot)) {
			moved++
		}
		copy(want[int(slot)*table.Replicas:], row)
	}
	return want, moved
}

// slotsFree lists the slots that a plan may touch: all but those that recover, for a store may yet say
// that it has them, and those that stay with a node that is down, because their state waits for it or
// because the governor holds it.
func slotsFree(state *fsm.State, table *ring.Table) []ring.Slot {
	free := make([]ring.Slot, 0, len(table.Epochs))
	for slot := range table.Epochs {
		if state.Slot(ring.Slot(slot)).Recovering() {
			continue
		}
		holder := state.NodeAt(table.Primary(ring.Slot(slot)))
		if holder == nil || !keepsWhileDown(holder) {
			free = append(free, ring.Slot(slot))
		}
	}
	return free
}

func keepsWhileDown(node *fsm.Node) bool {
	return node.Status == api.NodeDown && !node.Draining && (!node.Resets() || node.Held)
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
			Pinned: !node.Resets() && !takeFromWaiting,
		})
	}
	return list
}
