package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// What becomes of slots when nodes go down, come back, or leave, where nodes hand slots over.

// transitions are what a batch of verdicts on nodes came to.
type transitions struct {
	matter bool // a node went down or came back
	gone   []*Change
}

func (t *transitions) note(was, is *Node) {
	t.matter = t.matter || (was.Status == api.NodeDown) != (is.Status == api.NodeDown)
}

// goneManaged records that a node is down. What becomes of its slots is seen when all that went down with it
// are known.
func (d *draft) goneManaged(node *Node, transition Transition) *Change {
	kind := "expire"
	if transition.Left {
		kind = "leave"
	}
	change := d.addChange(kind, node.Registration.ID, api.ChangeDone)
	change.Detail = transition.Reason
	return change
}

// succeedGone lets replicas that are up take over from those that are down, and says so on the changes that
// took these down.
func (d *draft) succeedGone(gone []*Change) {
	cause, change := d.cause, d.result.Change
	moved, stranded := d.succeed(d.state.up)
	for _, change := range gone {
		index := d.state.Node(change.Node).Index
		change.Progress = api.Progress{Done: moved[index], Total: moved[index]}
		change.Detail = joinDetail(change.Detail, fmt.Sprintf("%d slots went to replicas in sync, %d wait for it", moved[index], stranded[index]))
	}
	d.cause, d.result.Change = cause, change
}

// succeed lets replicas that are up take over every slot whose primary is not, and begins slots that nobody
// has. It counts, by the index of the primary there was, the slots that moved and those that nobody can take.
func (d *draft) succeed(up func(Replica) bool) (moved, stranded map[ring.NodeIndex]int) {
	moved, stranded = make(map[ring.NodeIndex]int), make(map[ring.NodeIndex]int)
	for i := range d.state.slots.count() {
		primary := d.state.slots.at(ring.Slot(i)).Primary
		switch d.succeedOne(ring.Slot(i), up) {
		case ownership.Moved:
			moved[primary]++
		case ownership.Stranded:
			stranded[primary]++
		}
	}
	d.begin()
	return moved, stranded
}

func (d *draft) succeedOne(number ring.Slot, up func(Replica) bool) ownership.Outcome {
	slot := d.state.slots.at(number)
	next, outcome := ownership.Succeed(slot.config(), up, d.state.prefer(number))
	if outcome == ownership.Moved {
		d.setSlot(number, slot.with(next, SlotKind(ownership.Promote), ""))
	}
	return outcome
}

// returnedManaged records that a node came back. One whose part of the ring others were to take over takes
// part in it again.
func (d *draft) returnedManaged(was *Node) {
	d.supersedeHeld(was.Registration.ID)
	d.supersedeAwaited(was)
	if was.Out || was.Draining {
		d.addChange("return", was.Registration.ID, api.ChangePending)
		return
	}
	d.addChange("return", was.Registration.ID, api.ChangeDone)
}

// renewManaged sees to the slots of a node that registered again. A new process knows nothing of what its
// predecessor promised, so it is primary only in epochs made now; a new store holds nothing.
func (d *draft) renewManaged(was, is *Node) {
	before, after := was.Registration, is.Registration
	same := after.Nonce != "" && after.Nonce == before.Nonce && after.StoreID == before.StoreID
	var restarted restarts
	if !same {
		restarted = d.restart(is)
	}
	switch {
	case before.StoreID != after.StoreID:
		d.supersedeHeld(after.ID)
		d.supersedeAwaited(was)
		d.noteReplaced(was, is, restarted)
	case was.Status == api.NodeDown:
		d.returnedManaged(was)
	case before.Address != after.Address:
		d.addChange("register", after.ID, api.ChangeDone).Detail = "moved to " + after.Address
	default:
		d.cause = "register " + string(after.ID)
	}
	cause, change := d.cause, d.result.Change
	d.succeed(d.state.up)
	d.cause, d.result.Change = cause, change
}

// restarts counts what a new process met: slots whose only copy was gone, and those of them begun anew.
type restarts struct{ lost, recreated int }

func (d *draft) restart(node *Node) (count restarts) {
	for i := range d.state.slots.count() {
		slot := d.state.slots.at(ring.Slot(i))
		member, holds := slot.holds(node.Index)
		if !holds {
			continue
		}
		next, outcome := ownership.Restart(slot.config(), member, node.replica(), d.state.up, d.state.prefer(ring.Slot(i)))
		if outcome == ownership.Moved && !slices.ContainsFunc(next.ISR, d.state.registered) {
			outcome = ownership.Lost // the others' processes were followed by new ones before: this was the last copy
		}
		switch outcome {
		case ownership.Moved, ownership.Reopened:
			d.setSlot(ring.Slot(i), slot.with(next, SlotKind(ownership.Promote), ""))
		case ownership.Lost:
			count.lost++
			count.recreated += countIf(d.recreate(ring.Slot(i), node))
		}
	}
	return count
}

// recreate begins a slot anew whose only copy is gone, if the cluster says so.
func (d *draft) recreate(slot ring.Slot, node *Node) bool {
	if d.state.Settings.OnLastCopy != api.OnLastCopyRecreate {
		return false
	}
	is := d.state.slots.at(slot)
	alone := ownership.Config[Replica]{Epoch: is.Epoch + 1, Primary: node.replica(), ISR: node.alone()}
	d.setSlot(slot, is.with(alone, KindAssign, ""))
	return true
}

func (d *draft) noteReplaced(was, is *Node, count restarts) {
	status := api.ChangeDone
	if was.Out || was.Draining {
		status = api.ChangePending
	}
	change := d.addChange("replace", is.Registration.ID, status)
	change.Detail = "another store"
	change.Lossy = count.recreated > 0
	if waiting := count.lost - count.recreated; waiting > 0 {
		change.Detail += fmt.Sprintf("; the only copy of %d slots was in the old one: they wait to be forced", waiting)
	}
	if count.recreated > 0 {
		change.Detail += fmt.Sprintf("; %d slots begin empty, their only copy is gone", count.recreated)
	}
}
