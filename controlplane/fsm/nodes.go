package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// status takes over what liveness found.
func (d *draft) status(command Status) *api.Problem {
	for _, transition := range command.Transitions {
		known := d.state.Node(transition.Node)
		if known == nil || known.Session != transition.Session || known.Status == transition.Status {
			continue // it spoke of a node that has changed since
		}
		node := *known
		node.Status, node.Since = transition.Status, d.header.Time
		node.Held = node.Held && transition.Status == api.NodeDown
		d.setNode(node.Index, &node)
		switch {
		case transition.Status == api.NodeDown:
			d.gone(&node, transition)
		case known.Status == api.NodeDown && transition.Status == api.NodeUp:
			d.returned(&node)
		default:
			d.cause = string(transition.Status) + " " + string(transition.Node)
		}
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
	if !node.Resets() {
		change.Detail += "; its slots wait for it"
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
	if command.On && d.state.SlotsHeld()[known.Index] > 0 && !d.state.someoneElseTakes(known) {
		return api.NewProblem(api.CodeLastNode, "no other node could take the slots of %s", command.Node).
			WithNext("register another node first")
	}
	d.supersedeHeld(command.Node)
	node := *known
	node.Draining = command.On
	d.setNode(node.Index, &node)
	kind := "undrain"
	if command.On {
		kind = "drain"
	}
	d.addChange(kind, command.Node, api.ChangePending)
	return nil
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
	node := *known
	kind := "zone"
	if zone := command.Patch.Zone; zone != nil {
		node.Registration.Zone = *zone
	}
	if weight := command.Patch.Weight; weight != nil {
		node.Registration.Weight = *weight
		if *weight != known.Registration.Weight {
			kind = "weight"
		}
	}
	if problem := node.Registration.Validate(); problem != nil {
		return problem
	}
	if node.Registration.Weight == known.Registration.Weight && node.Registration.Zone == known.Registration.Zone {
		d.result.Note = "nothing to change"
		return nil
	}
	d.setNode(node.Index, &node)
	d.addChange(kind, command.Node, api.ChangePending).Detail =
		fmt.Sprintf("weight %d, zone %q", node.Registration.Weight, node.Registration.Zone)
	return nil
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
	held := d.state.SlotsHeld()[known.Index]
	if held > 0 && !known.Resets() && !command.Force {
		return api.NewProblem(api.CodeLastCopy, "node %s holds the only copy of %d slots", command.Node, held).
			WithNext("drain it first, or remove it with --force (force=lossy) and give that state up")
	}
	if held > 0 && !d.state.someoneElseTakes(known) && !command.Force {
		return api.NewProblem(api.CodeLastNode, "no other node could take the slots of %s", command.Node).
			WithNext("register another node first, or force it")
	}
	d.supersedeHeld(command.Node)
	d.vacate(known)
	d.setNode(known.Index, nil)
	place, _ := d.before.place(command.Node)
	d.state.byID = slices.Delete(slices.Clone(d.state.byID), place, place+1)
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
