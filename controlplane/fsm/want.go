package fsm

import (
	"fmt"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// wantRing takes over the planner's result. With state none the slots flip to it at once: each that
// changes hands gets the next epoch.
func (d *draft) wantRing(command Want) *api.Problem {
	if base := d.before.PlanBase(); command.Base != base {
		return api.NewProblem(api.CodeConflict, "planned from %d, the ring stands at %d", command.Base, base)
	}
	rows, err := unpackWant(command.Want, d.state.slots.count()*d.state.Settings.Replicas)
	if err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("want")
	}
	if problem := d.checkRows(rows); problem != nil {
		return problem
	}
	if d.state.Managed() {
		d.wantManaged(rows, command.Changes)
		return nil
	}
	d.state.want = d.state.want.replace(rows, d.state.nodeNames())
	flipped := d.flip(rows)
	d.settle(command.Changes, flipped)
	return nil
}

func (d *draft) checkRows(rows []ring.NodeIndex) *api.Problem {
	replicas := d.state.Settings.Replicas
	for i, index := range rows {
		if index == ring.NoNode {
			continue
		}
		if d.state.NodeAt(index) == nil || d.leaves(index) {
			return api.NewProblem(api.CodeInvalid, "slot %d wants index %d, where no node is listed", i/replicas, index).InField("want")
		}
		for j := i - i%replicas; j < i; j++ {
			if rows[j] == index || rows[j] == ring.NoNode {
				return api.NewProblem(api.CodeInvalid, "slot %d wants index %d twice or behind a gap", i/replicas, index).InField("want")
			}
		}
	}
	return nil
}

func (s *State) nodeNames() []api.NodeID {
	names := make([]api.NodeID, len(s.nodes))
	for i, node := range s.nodes {
		if node != nil {
			names[i] = node.Registration.ID
		}
	}
	return names
}

// moves counts what a flip did.
type moves struct {
	total       int // slots whose primary changed
	leavesState int // of those, how many left a node whose state stays where it is
	lossy       bool
}

// flip makes the first wanted replica of each slot its primary.
func (d *draft) flip(rows []ring.NodeIndex) moves {
	var count moves
	replicas := d.state.Settings.Replicas
	for i := range d.state.slots.count() {
		slot, wanted := d.state.slots.at(ring.Slot(i)), rows[i*replicas]
		if wanted == slot.Primary || slot.Recovering() {
			continue
		}
		count.total++
		if holder := d.state.NodeAt(slot.Primary); holder != nil {
			count.leavesState++
			count.lossy = count.lossy || holder.Status == api.NodeDown || d.leaves(slot.Primary)
		}
		next := Slot{Epoch: slot.Epoch + 1, Primary: wanted, Kind: KindFlip, Known: slot.Known}
		if taker := d.state.NodeAt(wanted); taker != nil {
			next.ISR = []Replica{{Node: wanted, Store: taker.Registration.StoreID}}
		}
		d.setSlot(ring.Slot(i), next)
	}
	return count
}

// settle marks the changes that the want answers as done. The last of them is named as the cause of
// the moves; the others were part of it.
func (d *draft) settle(ids []api.ChangeID, flipped moves) {
	version := d.state.Version()
	if flipped.total > 0 {
		version.Number++
	}
	for i, id := range ids {
		last := i == len(ids)-1
		d.editChange(id, func(change *Change) {
			change.Status, change.Finished, change.Last = api.ChangeDone, d.header.Time, version
			change.want = d.state.want
			if !last {
				change.Detail = joinDetail(change.Detail, fmt.Sprintf("planned together with change %d", ids[len(ids)-1]))
				return
			}
			change.Progress = api.Progress{Done: flipped.total, Total: flipped.total}
			change.Lossy = change.Lossy || flipped.lossy
			change.LeavesState += flipped.leavesState
			d.cause, d.result.Change = change.cause(), change.ID
		})
	}
	d.state.pending = without(d.state.pending, ids)
}

func joinDetail(detail, more string) string {
	if detail == "" {
		return more
	}
	return detail + "; " + more
}

func without(pending, settled []api.ChangeID) []api.ChangeID {
	gone := make(map[api.ChangeID]bool, len(settled))
	for _, id := range settled {
		gone[id] = true
	}
	var left []api.ChangeID
	for _, id := range pending {
		if !gone[id] {
			left = append(left, id)
		}
	}
	return left
}

// hold marks expiries that the governor holds back, and keeps their nodes' slots where they are.
func (d *draft) hold(command Hold) *api.Problem {
	for _, id := range command.Changes {
		d.editChange(id, func(change *Change) {
			change.Status = api.ChangeHeld
			change.Detail = joinDetail(change.Detail, command.Reason)
			if known := d.state.Node(change.Node); known != nil && known.Status == api.NodeDown {
				node := *known
				node.Held = true
				d.setNode(node.Index, &node)
			}
		})
	}
	d.state.pending = without(d.state.pending, command.Changes)
	return nil
}
