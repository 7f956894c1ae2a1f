package fsm

import (
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Edits are changes to nodes that take effect together, in the order of these fields.
type Edits struct {
	Add     []api.Registration `json:"add,omitempty"` // of nodes not listed yet
	Undrain []api.NodeID       `json:"undrain,omitempty"`
	Patch   []Patch            `json:"patch,omitempty"`
	Remove  []api.NodeID       `json:"remove,omitempty"`
	Drain   []api.NodeID       `json:"drain,omitempty"`
	Force   bool               `json:"force,omitempty"` // give up the last copies of what removed nodes hold
}

// Refusal is an edit that cannot be made, and why.
type Refusal struct {
	Field   string // of Edits, in JSON
	Node    api.NodeID
	Problem *api.Problem
}

// Empty reports whether there is nothing to edit.
func (e Edits) Empty() bool {
	return len(e.Add)+len(e.Undrain)+len(e.Patch)+len(e.Remove)+len(e.Drain) == 0
}

// edit carries out what it can. A node to be removed is drained first and noted as leaving, so that it
// gives its slots away in the same command.
func (d *draft) edit(edits Edits) (done Edits, refused []Refusal) {
	done.Force = edits.Force
	made := func(field string, node api.NodeID, problem *api.Problem) bool {
		if problem != nil {
			refused = append(refused, Refusal{Field: field, Node: node, Problem: problem})
		}
		return problem == nil
	}
	for _, asked := range edits.Add {
		if made("add", asked.ID, d.editAdd(asked)) {
			done.Add = append(done.Add, asked)
		}
	}
	for _, id := range edits.Undrain {
		if made("undrain", id, d.editDraining(id, false)) {
			done.Undrain = append(done.Undrain, id)
		}
	}
	for _, patch := range edits.Patch {
		if made("patch", patch.Node, d.editPatch(patch)) {
			done.Patch = append(done.Patch, patch)
		}
	}
	for _, id := range edits.Remove {
		if made("remove", id, d.editRemove(id, edits.Force)) {
			done.Remove = append(done.Remove, id)
		}
	}
	for _, id := range edits.Drain {
		if made("drain", id, d.editDraining(id, true)) {
			done.Drain = append(done.Drain, id)
		}
	}
	return done, refused
}

func (d *draft) editAdd(asked api.Registration) *api.Problem {
	if d.state.Node(asked.ID) != nil {
		return api.NewProblem(api.CodeConflict, "node %s is registered already", api.Clip(string(asked.ID)))
	}
	asked = asked.WithDefaults()
	if problem := asked.Validate(); problem != nil {
		return problem
	}
	if problem := d.checkFits(asked); problem != nil {
		return problem
	}
	_, problem := d.enlist(asked)
	return problem
}

func (d *draft) editDraining(id api.NodeID, on bool) *api.Problem {
	known, problem := d.state.mustNode(id)
	if problem != nil {
		return problem
	}
	if d.leaves(known.Index) {
		return api.NewProblem(api.CodeConflict, "node %s is to be removed as well", id)
	}
	if known.Draining == on {
		return nil
	}
	return d.setDraining(known, on)
}

func (d *draft) editPatch(command Patch) *api.Problem {
	known, problem := d.state.mustNode(command.Node)
	if problem != nil {
		return problem
	}
	_, _, problem = d.setPatch(known, command.Patch)
	return problem
}

func (d *draft) editRemove(id api.NodeID, force bool) *api.Problem {
	known, problem := d.state.mustNode(id)
	if problem != nil {
		return problem
	}
	if d.leaves(known.Index) {
		return nil
	}
	if problem := d.checkRemove(known, force); problem != nil {
		return problem
	}
	d.supersedeHeld(id)
	d.supersedeAwaited(known)
	node := *known
	node.Draining = true
	d.setNode(node.Index, &node)
	d.leaving = append(d.leaving, node.Index)
	return nil
}

func (d *draft) leaves(index ring.NodeIndex) bool { return slices.Contains(d.leaving, index) }

// unlist takes the leaving nodes off the list; a flip has given their slots away.
func (d *draft) unlist() {
	for _, index := range d.leaving {
		d.forgetNode(d.state.NodeAt(index))
	}
}

// Edited is the state with edits made and nothing planned yet: what a planner looks at. What cannot be
// edited is left out, and why is said; done are the others. Nodes to be removed are still listed, as
// draining. The state itself stays as it is.
func (s *State) Edited(edits Edits) (after *State, done Edits, refused []Refusal) {
	d := newDraft(s, s.Index+1, Header{})
	done, refused = d.edit(edits)
	return d.finish(), done, refused
}
