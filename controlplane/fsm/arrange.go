package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Arrange carries out a plan: edits of nodes and the ring that is to come of them, as one change and one
// version. It is refused if anything moved since it was planned.
type Arrange struct {
	Base  uint64       `json:"base"` // ring version it was planned from
	Seen  api.ChangeID `json:"seen"` // newest change it was planned in sight of
	Edits Edits        `json:"edits"`
	// Rebalance and Rollback say what the plan was for besides its edits; Rollback names the change
	// whose want it restores, 0 if none.
	Rebalance bool           `json:"rebalance,omitempty"`
	Rollback  api.ChangeID   `json:"rollback,omitempty"`
	Want      []byte         `json:"want"`   // R big-endian uint16 node indexes per slot
	Settle    []api.ChangeID `json:"settle"` // the pending changes it answers too
}

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

func (Arrange) commandType() CommandType { return TypeArrange }

// Empty reports whether there is nothing to edit.
func (e Edits) Empty() bool {
	return len(e.Add)+len(e.Undrain)+len(e.Patch)+len(e.Remove)+len(e.Drain) == 0
}

// wordsMax is how many edits a cause spells out.
const wordsMax = 8

// words say what the command does, as history will.
func (a Arrange) words() string {
	var words []string
	say := func(word string, ids []api.NodeID) {
		for _, id := range ids {
			words = append(words, word+" "+string(id))
		}
	}
	if a.Rollback != 0 {
		words = append(words, fmt.Sprintf("rollback to change %d", a.Rollback))
	}
	for _, added := range a.Edits.Add {
		words = append(words, "add "+string(added.ID))
	}
	say("remove", a.Edits.Remove)
	say("drain", a.Edits.Drain)
	say("undrain", a.Edits.Undrain)
	for _, patch := range a.Edits.Patch {
		words = append(words, patch.words()...)
	}
	if a.Rebalance {
		words = append(words, "rebalance")
	}
	if over := len(words) - wordsMax; over > 0 {
		words = append(words[:wordsMax], fmt.Sprintf("and %d more", over))
	}
	return strings.Join(words, ", ")
}

func (p Patch) words() (words []string) {
	if p.Patch.Weight != nil {
		words = append(words, fmt.Sprintf("weight %s=%d", p.Node, *p.Patch.Weight))
	}
	if p.Patch.Zone != nil {
		words = append(words, fmt.Sprintf("zone %s=%s", p.Node, *p.Patch.Zone))
	}
	return words
}

func (d *draft) arrange(command Arrange) *api.Problem {
	if problem := d.checkSight(command); problem != nil {
		return problem
	}
	if _, refused := d.edit(command.Edits); len(refused) > 0 {
		return refused[0].Problem
	}
	rows, err := unpackWant(command.Want, d.state.slots.count()*d.state.Settings.Replicas)
	if err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("want")
	}
	if problem := d.checkRows(rows); problem != nil {
		return problem
	}
	kind := "plan"
	if command.Rollback != 0 {
		kind = "rollback"
	}
	change := d.addChange(kind, "", api.ChangePending)
	change.Words = command.words()
	flipped := d.flip(rows)
	d.unlist()
	d.state.want = d.state.want.replace(rows, d.state.nodeNames())
	d.settle(append(slices.Clone(command.Settle), change.ID), flipped)
	return nil
}

// checkSight refuses a plan whose ground has moved.
func (d *draft) checkSight(command Arrange) *api.Problem {
	if command.Base != d.before.Number || command.Seen != d.before.lastID {
		return api.NewProblem(api.CodeConflict, "planned from version %d in sight of change %d, the ring stands at %d and %d",
			command.Base, command.Seen, d.before.Number, d.before.lastID)
	}
	for i, id := range command.Settle {
		if !slices.Contains(d.before.pending, id) || slices.Contains(command.Settle[:i], id) {
			return api.NewProblem(api.CodeConflict, "change %d does not wait for a plan", id)
		}
	}
	return nil
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
	return &d.state, done, refused
}

// Preview is what a command would make of the state, which stays as it is.
func (s *State) Preview(command Command) (*State, Result) {
	before := *s
	before.versions = before.versions.detached()
	d := newDraft(&before, s.Index+1, Header{})
	if problem := d.run(command); problem != nil {
		return s, Result{Problem: problem, Version: s.Version()}
	}
	after := d.finish()
	d.result.Version = after.Version()
	return after, d.result
}
