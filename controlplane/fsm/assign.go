package fsm

import (
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// wantManaged sets what is wanted. Slots stay where they are: their primaries bring them there. Those that
// nobody has are begun.
func (d *draft) wantManaged(rows []ring.NodeIndex, changes []api.ChangeID) {
	d.setWants(rows, changes)
	d.startChanges(changes)
}

// arrangeManaged sets what is wanted, and then takes the nodes that leave off the list; what they have others
// have too, or it is given up.
func (d *draft) arrangeManaged(rows []ring.NodeIndex, changes []api.ChangeID) {
	d.setWants(rows, changes)
	d.startChanges(changes)
	lost := 0
	for _, index := range d.leaving {
		lost += d.depart(d.state.NodeAt(index))
	}
	d.openAll()
	d.unlist()
	d.begin()
	if lost > 0 {
		d.editChange(changes[len(changes)-1], func(change *Change) {
			change.Lossy, change.LeavesState = true, change.LeavesState+lost
		})
	}
}

func (d *draft) setWants(rows []ring.NodeIndex, changes []api.ChangeID) {
	var by api.ChangeID
	if len(changes) > 0 {
		by = changes[len(changes)-1]
	}
	replicas := d.state.Settings.Replicas
	for i := range d.state.slots.count() {
		row := rows[i*replicas : (i+1)*replicas]
		if !equalIndexes(row, d.state.want.row(ring.Slot(i))) {
			d.setWant(ring.Slot(i), row, by)
		}
	}
	d.begin()
}

// begin gives the slots that nobody has to those that are wanted.
func (d *draft) begin() {
	for i := range d.state.slots.count() {
		slot := d.state.slots.at(ring.Slot(i))
		if slot.Primary != ring.NoNode || slot.Recovering() {
			continue
		}
		if isr := d.beginners(slot, d.state.want.row(ring.Slot(i))); len(isr) > 0 {
			first := ownership.Config[Replica]{Epoch: slot.Epoch + 1, Primary: isr[0], ISR: isr}
			d.setSlot(ring.Slot(i), slot.with(first, KindAssign, ""))
		}
	}
}

// beginners are the members that a slot begins with: all that are wanted and up, of a slot that nobody ever
// held, for they agree that it is empty. Some store may remember one that somebody did hold: it begins with
// one member, whose word then counts.
func (d *draft) beginners(slot Slot, row []ring.NodeIndex) []Replica {
	var isr []Replica
	for _, index := range wantedIn(row) {
		if node := d.state.NodeAt(index); node.Status != api.NodeDown && !d.leaves(index) {
			isr = append(isr, node.replica())
		}
	}
	if slot.Epoch > 0 && len(isr) > 1 {
		isr = isr[:1]
	}
	return isr
}

// unwant takes a node out of what is wanted.
func (d *draft) unwant(index ring.NodeIndex) (slots int) {
	for i := range d.state.slots.count() {
		row := d.state.want.row(ring.Slot(i))
		place := slices.Index(row, index)
		if place < 0 {
			continue
		}
		next := append(slices.Delete(slices.Clone(row), place, place+1), ring.NoNode)
		d.setWant(ring.Slot(i), next, d.state.slots.at(ring.Slot(i)).WantedBy)
		slots++
	}
	return slots
}
