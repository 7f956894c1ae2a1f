package planner

import (
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// rollbackNote says what a rollback does not touch.
const rollbackNote = "only who holds the slots goes back; nodes, their weights and the settings stay as they are"

// Rollback plans the ring that a change once wanted, and answers the pending changes in settle along
// with it. Where its nodes are gone (removed, down, draining) others take their place as evenly as can
// be; a node that registered anew under its old id is the same. Slots whose node is down and keeps them
// stay there.
func Rollback(state *fsm.State, to api.ChangeID, settle []api.ChangeID) (Proposal, *api.Problem) {
	rows, problem := wantOf(state, to)
	if problem != nil {
		return Proposal{}, problem
	}
	nodes := candidates(state, false)
	if len(nodes) == 0 {
		return Proposal{}, api.NewProblem(api.CodeNoNodes, "no node could take slots").WithNext("register one, or undrain one")
	}
	command := fsm.Arrange{
		Base: state.PlanBase(), Seen: state.NewestChange(), Rollback: to, Settle: settle,
		Want: fsm.PackWant(restore(state, rows, nodes, settle)),
	}
	plan, problem := foresee(state, command)
	if problem != nil {
		return Proposal{}, problem
	}
	plan.Note = joinNotes(rollbackNote, plan.Note)
	if !plan.Changes {
		plan.Note = "nothing to change"
	}
	return Proposal{Command: command, Plan: plan}, nil
}

// changesSearched is how far back a rollback looks for the change that was meant.
const changesSearched = 1000

// wantOf finds what a change wanted.
func wantOf(state *fsm.State, id api.ChangeID) ([][]api.NodeID, *api.Problem) {
	change, problem := state.Change(id)
	if problem != nil {
		return nil, problem
	}
	if change.Planned() {
		return change.Want(), nil
	}
	cause := change.Show().Cause
	if change.Status == api.ChangePending {
		return nil, api.NewProblem(api.CodeConflict, "change %d (%s) is not planned yet", id, cause).InField("change")
	}
	problem = api.NewProblem(api.CodeInvalid, "change %d (%s) gave no slots to anybody", id, cause).InField("change")
	older, _ := state.Changes(id, changesSearched)
	for _, change := range older {
		if change.Planned() {
			return nil, problem.WithNext("the ring as it was then is that of change %d: stead ring rollback %d", change.ID, change.ID)
		}
	}
	return nil, problem
}

// restore gives every slot that may be touched to the nodes of its row, and fills what they leave open.
// Rows that are whole stay as they were written.
func restore(state *fsm.State, rows [][]api.NodeID, nodes []ring.Candidate, settle []api.ChangeID) []ring.NodeIndex {
	table := current(state)
	free, want, width := slotsFree(state, table, settle), slices.Clone(table.Owners), min(table.Replicas, len(nodes))
	byID := make(map[api.NodeID]ring.NodeIndex, len(nodes))
	for i := range nodes {
		nodes[i].Pinned = true
		byID[nodes[i].ID] = nodes[i].Index
	}
	current := make([]ring.NodeIndex, 0, len(free)*table.Replicas)
	whole := make([]bool, len(free))
	for i, slot := range free {
		row := present(rows[slot], byID, table.Replicas)
		whole[i] = len(row) >= width
		for len(row) < table.Replicas {
			row = append(row, ring.NoNode)
		}
		current = append(current, row...)
	}
	filled := current
	if slices.Contains(whole, false) {
		filled = ring.Assign(current, table.Replicas, nodes).Want
	}
	for i, slot := range free {
		row := filled
		if whole[i] {
			row = current
		}
		copy(want[int(slot)*table.Replicas:], row[i*table.Replicas:(i+1)*table.Replicas])
	}
	return want
}

// present lists those of a row that can hold slots now, at most as many.
func present(row []api.NodeID, byID map[api.NodeID]ring.NodeIndex, most int) []ring.NodeIndex {
	list := make([]ring.NodeIndex, 0, most)
	for _, id := range row {
		if index, there := byID[id]; there && len(list) < most {
			list = append(list, index)
		}
	}
	return list
}
