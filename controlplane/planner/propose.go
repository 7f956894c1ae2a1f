package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// Proposal is a plan: the command that carries it out, and what that will do. The second is found by
// applying the first to the state it was planned from, so that they cannot differ.
type Proposal struct {
	Command fsm.Arrange
	Plan    api.RingPlan
}

// Propose plans what a person asks of a state, and answers the pending changes in settle along with it.
// What cannot be done is left out and listed as blocked.
func Propose(state *fsm.State, ask api.PlanAsk, settle []api.ChangeID) (Proposal, *api.Problem) {
	request := reading{state: state, unplaced: make(map[api.NodeID]bool)}
	edits := request.edits(ask)
	edited, done, refused := state.Edited(edits)
	for _, refusal := range refused {
		request.block(fieldOf(ask, refusal), refusal.Node, refusal.Problem)
	}
	taking := ask.Rebalance || request.joins || len(done.Patch) > 0 || mayTakeFromWaiting(state, settle)
	command := fsm.Arrange{
		Base: state.PlanBase(), Seen: state.NewestChange(), Edits: done, Rebalance: ask.Rebalance, Settle: settle,
		Want: fsm.PackWant(spread(edited, current(edited), settle, taking)),
	}
	plan, problem := foresee(state, command)
	if problem != nil {
		return Proposal{}, problem
	}
	plan.Blocked = request.blocked
	request.explain(&plan)
	return Proposal{Command: command, Plan: plan}, nil
}

// reading turns a request into edits of a state.
type reading struct {
	state    *fsm.State
	blocked  []api.PlanBlock
	unplaced map[api.NodeID]bool // nodes that nobody registered and whose address is not given
	joins    bool                // a node is added that can be
}

func (r *reading) block(field string, node api.NodeID, problem *api.Problem) {
	r.blocked = append(r.blocked, api.PlanBlock{
		Field: field, Node: node, Code: problem.Code, Detail: problem.Detail, Next: problem.Next,
	})
}

func (r *reading) edits(ask api.PlanAsk) fsm.Edits {
	edits := fsm.Edits{Remove: r.heardOf(ask.Remove), Drain: r.others(ask.Drain, true), Undrain: r.others(ask.Undrain, false), Force: ask.Force}
	for i, add := range ask.Add {
		if known := r.state.Node(add.ID); known != nil {
			r.addKnown(&edits, known, add)
			continue
		}
		if registration, problem := r.unknown(add, i, ask.Apply); problem != nil {
			r.block("add", add.ID, problem)
		} else {
			edits.Add = append(edits.Add, registration.WithDefaults())
			r.joins = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ask.Weights)) {
		weight := ask.Weights[id]
		if known := r.state.Node(id); known == nil || known.Registration.Weight != weight {
			edits.Patch = append(edits.Patch, fsm.Patch{Node: id, Patch: api.NodePatch{Weight: &weight}})
		}
	}
	return edits
}

// unknown makes a registration of a node that nobody registered yet.
func (r *reading) unknown(add api.PlanAdd, i int, apply bool) (api.Registration, *api.Problem) {
	registration := api.Registration{
		ID: add.ID, Address: add.Address, Weight: add.Weight, Zone: add.Zone, OnDown: add.OnDown, Lease: api.LeaseNone,
	}
	managed := r.state.Managed()
	switch {
	case managed && apply:
		return registration, api.NewProblem(api.CodeInvalid, "node %s is not registered, and none but itself can do that", add.ID).
			WithNext("start it, its registration makes the change")
	case add.Address == "" && apply:
		return registration, api.NewProblem(api.CodeInvalid, "node %s is not registered, and its address is not given", add.ID).
			WithNext("start it, its registration makes the change; or give its address")
	case managed:
		registration.Lease, registration.State, registration.StoreID = api.LeaseBeat, r.state.Settings.State, noStore
	}
	if add.Address == "" || managed {
		r.unplaced[add.ID] = true
		registration.Address = nowhere(i)
	}
	return registration, nil
}

// noStore is the store of a node that is only planned for.
const noStore = "00000000000000000000000000000000"

// others are those of the nodes that do not drain, or not drain, as they should already.
func (r *reading) others(ids []api.NodeID, draining bool) (list []api.NodeID) {
	for _, id := range ids {
		if known := r.state.Node(id); known == nil || known.Draining != draining {
			list = append(list, id)
		}
	}
	return list
}

// heardOf are the nodes to remove without those whose report slots wait for: giving one up is a word of its
// own, for what it held cannot be told before it was asked.
func (r *reading) heardOf(ids []api.NodeID) (list []api.NodeID) {
	for _, id := range ids {
		if waiting := r.state.RecoveringFrom(id); waiting > 0 {
			r.block("remove", id, api.NewProblem(api.CodeConflict, "%d slots recover and wait for the report of node %s", waiting, id).
				WithNext("bring it back, or give it up for lost: stead nodes remove %s --force", id))
			continue
		}
		list = append(list, id)
	}
	return list
}

// nowhere is an address for a node that is only planned for, out of a network kept for examples (RFC 5737).
func nowhere(i int) string { return fmt.Sprintf("192.0.2.1:%d", i+1) }

// addKnown has a listed node take slots.
func (r *reading) addKnown(edits *fsm.Edits, known *fsm.Node, add api.PlanAdd) {
	is := known.Registration
	switch {
	case add.Address != "" && add.Address != is.Address:
		r.block("add", add.ID, api.NewProblem(api.CodeNodeIDInUse, "node %s is registered at %s", is.ID, is.Address))
		return
	case known.Status == api.NodeDown:
		r.block("add", add.ID, api.NewProblem(api.CodeConflict, "node %s is down and cannot take slots", is.ID).WithNext("start it"))
		return
	}
	r.joins = true
	if known.Draining {
		edits.Undrain = append(edits.Undrain, is.ID)
	}
	patch := api.NodePatch{}
	if add.Weight != 0 && add.Weight != is.Weight {
		patch.Weight = &add.Weight
	}
	if add.Zone != "" && add.Zone != is.Zone {
		patch.Zone = &add.Zone
	}
	if patch.Weight != nil || patch.Zone != nil {
		edits.Patch = append(edits.Patch, fsm.Patch{Node: is.ID, Patch: patch})
	}
}

// fieldOf is the field of the request that a refused edit came from.
func fieldOf(ask api.PlanAsk, refusal fsm.Refusal) string {
	added := slices.ContainsFunc(ask.Add, func(add api.PlanAdd) bool { return add.ID == refusal.Node })
	switch {
	case added:
		return "add"
	case refusal.Field == "patch":
		return "weights"
	default:
		return refusal.Field
	}
}

// explain says what the figures do not.
func (r *reading) explain(plan *api.RingPlan) {
	for i, node := range plan.Diff.Nodes {
		if r.unplaced[node.ID] {
			plan.Diff.Nodes[i].After.Address = ""
		}
	}
	notes := []string{plan.Note}
	if !plan.Changes && len(plan.Blocked) == 0 {
		notes = append(notes, "nothing to change")
	}
	for _, id := range slices.Sorted(maps.Keys(r.unplaced)) {
		notes = append(notes, fmt.Sprintf("%s is not registered: start it, or give its address to apply this", id))
	}
	plan.Note = joinNotes(notes...)
}

// joinNotes makes one note of those there are.
func joinNotes(notes ...string) string {
	return strings.Join(slices.DeleteFunc(notes, func(note string) bool { return note == "" }), "; ")
}

// foresee applies a command to a state that stays as it is, and says what that does.
func foresee(state *fsm.State, command fsm.Arrange) (api.RingPlan, *api.Problem) {
	after, result := state.Preview(command)
	if result.Problem != nil {
		return api.RingPlan{}, result.Problem
	}
	change, problem := after.Change(result.Change)
	if problem != nil {
		return api.RingPlan{}, problem
	}
	was, is := current(state), current(after)
	if state.Managed() {
		is.Epochs = was.Epochs // wants have none
	}
	diff := ring.Diff(was, is)
	plan := api.RingPlan{
		Cause: change.Show().Cause, Change: state.NewestChange(),
		Slots: state.SlotCount(), Moved: diff.Moved, Share: diff.Share,
		Modulo: moduloShare(weights(state, was), weights(after, is)), LeavesState: change.LeavesState,
		Nodes: planNodes(ringOf{state, was}, ringOf{after, is}, command, diff), Settles: command.Settle, Diff: diff,
		Note:    FewerCopies(state, after),
		Changes: !command.Edits.Empty() || len(diff.Slots) > 0 || command.Rollback != 0 && len(command.Settle) > 0,
	}
	plan.Digest = digest(plan.Cause, diff)
	if state.Managed() {
		plan.LeavesState, plan.Lossy = 0, change.LeavesState // state moves along, but for what nobody else has
	}
	for _, node := range plan.Nodes {
		plan.Minimum += max(0, node.After-node.Before)
		known := state.Node(node.ID)
		if !state.Managed() && (node.Fate == "remove" || known != nil && known.Status == api.NodeDown) {
			plan.Lossy += node.Leaves
		}
	}
	return plan, nil
}
