package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stead-io/stead/api"
)

// Arrange carries out a plan: edits of nodes and the ring that is to come of them, as one change and one
// version. It is refused if anything moved since it was planned.
type Arrange struct {
	Base  uint64       `json:"base"` // State.PlanBase it was planned from
	Seen  api.ChangeID `json:"seen"` // newest change it was planned in sight of
	Edits Edits        `json:"edits"`
	// Rebalance and Rollback say what the plan was for besides its edits; Rollback names the change
	// whose want it restores, 0 if none.
	Rebalance bool           `json:"rebalance,omitempty"`
	Rollback  api.ChangeID   `json:"rollback,omitempty"`
	Want      []byte         `json:"want"`   // R big-endian uint16 node indexes per slot
	Settle    []api.ChangeID `json:"settle"` // the pending changes it answers too
}

func (Arrange) commandType() CommandType { return TypeArrange }

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

// arrange flips the slots before it forgets the nodes that leave: they are told from nodes long gone by
// what they held.
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
	if d.state.Managed() {
		d.arrangeManaged(rows, append(slices.Clone(command.Settle), change.ID))
		return nil
	}
	flipped := d.flip(rows)
	d.unlist()
	d.state.want = d.state.want.replace(rows, d.state.nodeNames())
	d.settle(append(slices.Clone(command.Settle), change.ID), flipped)
	return nil
}

// checkSight refuses a plan whose ground has moved.
func (d *draft) checkSight(command Arrange) *api.Problem {
	if command.Base != d.before.PlanBase() || command.Seen != d.before.lastID {
		return api.NewProblem(api.CodeConflict, "planned from %d in sight of change %d, the ring stands at %d and %d",
			command.Base, command.Seen, d.before.PlanBase(), d.before.lastID)
	}
	for i, id := range command.Settle {
		if !slices.Contains(d.before.pending, id) || slices.Contains(command.Settle[:i], id) {
			return api.NewProblem(api.CodeConflict, "change %d does not wait for a plan", id)
		}
	}
	return nil
}

// Preview is what a command would make of the state, which stays as it is.
func (s *State) Preview(command Command) (*State, Result) {
	before := *s
	before.versions = before.versions.detached()
	d := newDraft(&before, s.Index+1, Header{})
	if problem := d.run(command); problem != nil {
		return s, Result{Problem: problem, Version: s.Version()}
	}
	d.number()
	d.advance()
	d.result.Version = d.state.Version()
	return d.finish(), d.result
}
