package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// checkKind refuses a node whose slots move otherwise than the cluster's. Who hands slots over has to say
// which store it is, and that it lives.
func (s *State) checkKind(asked api.Registration) *api.Problem {
	kind := asked.State
	if kind == "" {
		kind = api.StateNone
	}
	switch {
	case kind != s.Settings.State && kind == api.StateNone:
		return api.NewProblem(api.CodeServiceMismatch, "this cluster moves state (%s), and the node does not", s.Settings.State).InField("state").
			WithNext("run the service on the SDK or behind the sidecar's hooks, or use a cluster founded with --state none")
	case kind != s.Settings.State:
		return api.NewProblem(api.CodeServiceMismatch, "this cluster has state %s, the node %s", s.Settings.State, api.Clip(string(kind))).InField("state").
			WithNext("found a cluster for it: stead control --state %s", api.Clip(string(kind)))
	case s.Managed() && asked.Lease == api.LeaseNone:
		return api.NewProblem(api.CodeInvalid, "with state %s nodes beat: a static node hands no slots over", s.Settings.State).InField("lease")
	case s.Managed() && asked.StoreID == "":
		return api.NewProblem(api.CodeInvalid, "with state %s a node says which store it has", s.Settings.State).InField("store_id")
	}
	return nil
}

// checkRemoveManaged refuses to remove a node that has the only copy of a slot.
func (d *draft) checkRemoveManaged(known *Node, force bool) *api.Problem {
	id := known.Registration.ID
	if waiting := d.state.RecoveringFrom(id); waiting > 0 && known.Awaited && !force {
		return api.NewProblem(api.CodeLastCopy, "%d slots recover and wait for the report of node %s", waiting, id).
			WithNext("bring it back, or declare it lost with --force (force=lossy)")
	}
	if only := d.state.onlyCopies(known); only > 0 && !force {
		return api.NewProblem(api.CodeLastCopy, "node %s has the only copy of %d slots", id, only).
			WithNext("drain it first, or remove it with --force (force=lossy) and give that state up")
	}
	if d.state.holdsAny(known) && !d.state.someoneElseTakes(known) && !force {
		return api.NewProblem(api.CodeLastNode, "no other node could take the slots of %s", id).
			WithNext("register another node first, or force it")
	}
	return nil
}

// onlyCopies counts the slots that nobody else has: no node that is up, and no disk.
func (s *State) onlyCopies(known *Node) (slots int) {
	for i := range s.slots.count() {
		slot := s.slots.at(ring.Slot(i))
		if _, holds := slot.holds(known.Index); !holds {
			slots += countIf(slot.claimedBy(known.Registration.ID) && len(slot.Claim) == 1)
			continue
		}
		slots += countIf(!slices.ContainsFunc(slot.ISR, func(r Replica) bool {
			return r.Node != known.Index && (s.up(r) || s.registered(r) && !s.nodes[r.Node].Registration.Volatile)
		}))
	}
	return slots
}

func (s Slot) claimedBy(id api.NodeID) bool {
	return slices.ContainsFunc(s.Claim, func(r api.Replica) bool { return r.Node == id })
}

// removeManaged takes a node out of every slot and off the list.
func (d *draft) removeManaged(known *Node) {
	id := known.Registration.ID
	d.supersedeHeld(id)
	d.supersedeAwaited(known)
	unheard := d.state.RecoveringFrom(id) * countIf(known.Awaited)
	lost := d.depart(known)
	d.openAll()
	wanted := d.unwant(known.Index)
	d.forgetNode(known)
	status := api.ChangeDone
	if wanted > 0 || lost > 0 {
		status = api.ChangePending
	}
	change := d.addChange("remove", id, status)
	change.Lossy, change.LeavesState = lost > 0 || unheard > 0, lost
	if lost > 0 {
		change.Detail = fmt.Sprintf("%d slots were given up with it", lost)
	}
	if unheard > 0 {
		change.Detail = joinDetail(change.Detail, fmt.Sprintf("%d slots did not wait for its report", unheard))
	}
}

// depart takes a node out of every in-sync set, and counts the slots that nobody else has. Its report is not
// waited for any more.
func (d *draft) depart(node *Node) (lost int) {
	if node.Awaited {
		unheard := *node
		unheard.Awaited = false
		d.setNode(node.Index, &unheard)
	}
	for i := range d.state.slots.count() {
		slot := d.state.slots.at(ring.Slot(i))
		if slot.claimedBy(node.Registration.ID) {
			lost += countIf(d.disclaim(ring.Slot(i), node.Registration.ID))
			continue
		}
		member, holds := slot.holds(node.Index)
		switch {
		case !holds:
		case len(slot.ISR) == 1:
			d.setSlot(ring.Slot(i), slot.vacated())
			lost++
		default:
			next, kind := d.state.departed(ring.Slot(i), member)
			d.setSlot(ring.Slot(i), slot.with(next, SlotKind(kind), ""))
		}
	}
	return lost
}

// departed is a slot's configuration without one of several members. Where it was the primary and nobody
// else is up, one that is down is to come back.
func (s *State) departed(slot ring.Slot, member Replica) (ownership.Config[Replica], ownership.Kind) {
	now := s.slots.at(slot).config()
	rest := slices.DeleteFunc(slices.Clone(now.ISR), func(r Replica) bool { return r == member })
	if member != now.Primary {
		return ownership.Config[Replica]{Epoch: now.Epoch + 1, Primary: now.Primary, ISR: rest}, ownership.Shrink
	}
	next, outcome := ownership.Succeed(now, func(r Replica) bool { return r != member && s.up(r) }, s.prefer(slot))
	if outcome != ownership.Moved {
		next = ownership.Config[Replica]{Epoch: now.Epoch + 1, Primary: s.prefer(slot)(rest), ISR: rest}
	}
	return next, ownership.Promote
}
