package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// status takes over what liveness found.
func (d *draft) status(command Status) *api.Problem {
	var changed transitions
	for _, transition := range command.Transitions {
		known := d.state.Node(transition.Node)
		if known == nil || known.Session != transition.Session || known.Status == transition.Status {
			continue // it spoke of a node that has changed since
		}
		node := *known
		node.Status, node.Since = transition.Status, d.header.Time
		node.Held = node.Held && transition.Status == api.NodeDown
		node.Out = node.Out && transition.Status == api.NodeDown
		node.Left = transition.Left && transition.Status == api.NodeDown
		d.setNode(node.Index, &node)
		changed.note(known, &node)
		switch {
		case transition.Status == api.NodeDown && d.state.Managed():
			changed.gone = append(changed.gone, d.goneManaged(&node, transition))
		case transition.Status == api.NodeDown:
			d.gone(&node, transition)
		case known.Status == api.NodeDown && transition.Status == api.NodeUp && d.state.Managed():
			d.returnedManaged(known)
		case known.Status == api.NodeDown && transition.Status == api.NodeUp:
			d.returned(&node)
		default:
			d.cause = string(transition.Status) + " " + string(transition.Node)
		}
	}
	if changed.matter && d.state.Managed() {
		d.succeedGone(changed.gone)
	}
	return nil
}

// gone records that a node is down: expired, or left on purpose, which the governor does not count.
func (d *draft) gone(node *Node, transition Transition) {
	status, kind := api.ChangeDone, "expire"
	if node.Resets() {
		status = api.ChangePending
		d.confirm(node) // what it could report may be lost
	}
	if transition.Left {
		kind = "leave"
	}
	change := d.addChange(kind, node.Registration.ID, status)
	change.Detail = transition.Reason
	switch {
	case !node.Resets():
		change.Detail += "; its slots wait for it"
	case node.Maintained(d.state.Time()):
		change.Detail += "; its slots wait for it until its maintenance ends"
	}
}

func (d *draft) drain(command Drain) *api.Problem {
	known, problem := d.state.mustNode(command.Node)
	if problem != nil {
		return problem
	}
	if known.Draining == command.On {
		d.result.Note = "nothing to change"
		return nil
	}
	if problem := d.setDraining(known, command.On); problem != nil {
		return problem
	}
	kind := "undrain"
	if command.On {
		kind = "drain"
	}
	d.addChange(kind, command.Node, api.ChangePending)
	return nil
}

// setDraining marks a node that is to hold no slots any more, or that it may again.
func (d *draft) setDraining(known *Node, on bool) *api.Problem {
	id := known.Registration.ID
	if on && d.state.holdsAny(known) && !d.state.someoneElseTakes(known) {
		return api.NewProblem(api.CodeLastNode, "no other node could take the slots of %s", id).
			WithNext("register another node first")
	}
	d.supersedeHeld(id)
	d.supersedeAwaited(known)
	node := *known
	node.Draining = on
	d.setNode(node.Index, &node)
	return nil
}

// holdsAny reports whether the node is primary of a slot, or has the state of one.
func (s *State) holdsAny(node *Node) bool {
	if s.Managed() {
		return s.SlotsInSync()[node.Index] > 0
	}
	return s.SlotsHeld()[node.Index] > 0
}

// someoneElseTakes reports whether another node could hold slots now.
func (s *State) someoneElseTakes(leaving *Node) bool {
	for _, node := range s.nodes {
		if node != nil && node != leaving && node.Takes() {
			return true
		}
	}
	return false
}

// Takes reports whether the node may be given slots.
func (n *Node) Takes() bool { return !n.Draining && n.Status != api.NodeDown }

func (s *State) mustNode(id api.NodeID) (*Node, *api.Problem) {
	if node := s.Node(id); node != nil {
		return node, nil
	}
	return nil, api.NewProblem(api.CodeNodeUnknown, "no node %s is registered", api.Clip(string(id))).
		WithNext("stead nodes lists them")
}

func (d *draft) patch(command Patch) *api.Problem {
	known, problem := d.state.mustNode(command.Node)
	if problem != nil {
		return problem
	}
	node, changed, problem := d.setPatch(known, command.Patch)
	if problem != nil {
		return problem
	}
	if !changed {
		d.result.Note = "nothing to change"
		return nil
	}
	kind := "zone"
	if node.Registration.Weight != known.Registration.Weight {
		kind = "weight"
	}
	d.addChange(kind, command.Node, api.ChangePending).Detail =
		fmt.Sprintf("weight %d, zone %q", node.Registration.Weight, node.Registration.Zone)
	return nil
}

// setPatch gives a node another weight or zone.
func (d *draft) setPatch(known *Node, patch api.NodePatch) (node Node, changed bool, problem *api.Problem) {
	node = *known
	if patch.Zone != nil {
		node.Registration.Zone = *patch.Zone
	}
	if patch.Weight != nil {
		node.Registration.Weight = *patch.Weight
	}
	if problem := node.Registration.Validate(); problem != nil {
		return node, false, problem
	}
	changed = node.Registration.Weight != known.Registration.Weight || node.Registration.Zone != known.Registration.Zone
	if changed {
		d.setNode(node.Index, &node)
	}
	return node, changed, nil
}

// remove forgets a node. With one replica a slot that it holds is the last copy, so that needs force
// unless the node was registered to lose its state.
func (d *draft) remove(command Remove) *api.Problem {
	if command.Force && d.giveUp(command.Node) {
		return nil
	}
	known, problem := d.state.mustNode(command.Node)
	if problem != nil {
		return problem
	}
	if problem := d.checkRemove(known, command.Force); problem != nil {
		return problem
	}
	if d.state.Managed() {
		d.removeManaged(known)
		return nil
	}
	held := d.state.SlotsHeld()[known.Index]
	d.supersedeHeld(command.Node)
	d.supersedeAwaited(known)
	d.vacate(known)
	d.forgetNode(known)
	status := api.ChangeDone
	if held > 0 {
		status = api.ChangePending
	}
	change := d.addChange("remove", command.Node, status)
	change.Lossy = held > 0
	change.LeavesState = held
	if held > 0 {
		change.Detail = fmt.Sprintf("%d slots were given up with it", held)
	}
	return nil
}

// checkRemove refuses to remove a node whose slots nobody else has, or could take.
func (d *draft) checkRemove(known *Node, force bool) *api.Problem {
	id, held := known.Registration.ID, d.state.SlotsHeld()[known.Index]
	if d.state.Managed() {
		return d.checkRemoveManaged(known, force)
	}
	if held > 0 && !known.Resets() && !force {
		return api.NewProblem(api.CodeLastCopy, "node %s holds the only copy of %d slots", id, held).
			WithNext("drain it first, or remove it with --force (force=lossy) and give that state up")
	}
	if held > 0 && !d.state.someoneElseTakes(known) && !force {
		return api.NewProblem(api.CodeLastNode, "no other node could take the slots of %s", id).
			WithNext("register another node first, or force it")
	}
	return nil
}

// forgetNode takes a node off the list.
func (d *draft) forgetNode(known *Node) {
	d.noteRemoved(known)
	place, _ := d.state.place(known.Registration.ID)
	d.state.byID = slices.Delete(slices.Clone(d.state.byID), place, place+1)
	d.setNode(known.Index, nil)
}

// vacate unassigns the slots of a node.
func (d *draft) vacate(node *Node) {
	for i := range d.state.slots.count() {
		slot := d.state.slots.at(ring.Slot(i))
		if slot.Primary == node.Index || slot.Awaits == node.Registration.ID {
			d.setSlot(ring.Slot(i), slot.vacated())
		}
	}
}

func (d *draft) rebalance() *api.Problem {
	for _, node := range d.state.nodes {
		if node != nil && node.Takes() {
			d.addChange("rebalance", "", api.ChangePending)
			return nil
		}
	}
	return api.NewProblem(api.CodeNoNodes, "no node could take slots").WithNext("register one, or undrain one")
}
