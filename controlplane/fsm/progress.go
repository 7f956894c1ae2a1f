package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Where nodes hand slots over, a change is running until every slot whose want it set last is as it wanted
// it. Each slot names that change, so a command counts what it moved and nothing else.

// tally is what a command did for a change: slots that are done, and slots it set the want of.
type tally struct{ done, total int }

func (d *draft) tally(id api.ChangeID, more tally) {
	if id == 0 {
		return
	}
	if d.tallies == nil {
		d.tallies = make(map[api.ChangeID]tally)
	}
	sum := d.tallies[id]
	d.tallies[id] = tally{done: sum.done + more.done, total: sum.total + more.total}
}

// setWant sets what is wanted of a slot, for a change. The change that wanted something of it before has
// nothing left to wait for there.
func (d *draft) setWant(slot ring.Slot, row []ring.NodeIndex, by api.ChangeID) {
	was, old := d.state.slots.at(slot), d.state.want.row(slot)
	gained := countIf(was.settled(row))
	if was.WantedBy == by {
		d.tally(by, tally{done: gained - countIf(was.settled(old))})
	} else {
		d.tally(was.WantedBy, tally{done: countIf(!was.settled(old))})
		d.tally(by, tally{done: gained, total: 1})
	}
	d.ownWantChunk(slot)
	copy(d.state.want.row(slot), row)
	was.WantedBy = by
	was.Updated, d.state.slotsIndex, d.state.planIndex = d.state.Index, d.state.Index, d.state.Index
	d.putSlot(slot, was)
}

// ownWantChunk makes a chunk of the want table this draft's own: changes keep the table they led to.
func (d *draft) ownWantChunk(slot ring.Slot) {
	want := &d.state.want
	if !d.ownNames {
		want.names, d.ownNames = d.state.nodeNames(), true
	}
	if chunk := int(slot) * want.replicas / len(want.chunks[0]); !d.ownWant[chunk] {
		want.chunks[chunk] = slices.Clone(want.chunks[chunk])
		d.ownWant[chunk] = true
	}
}

// advance notes on the running changes how far they have come. That alone is no news; that one is done is.
func (d *draft) advance() {
	for _, id := range sortedKeys(d.tallies) {
		change, problem := d.state.Change(id)
		if problem != nil || change.Status != api.ChangeRunning {
			continue
		}
		count := d.tallies[id]
		done, total := change.Progress.Done+count.done, change.Progress.Total+count.total
		if done == total {
			d.finishChange(id, done)
		} else if count != (tally{}) {
			d.amendChange(id, func(change *Change) { change.Progress.Done, change.Progress.Total = done, total })
		}
	}
}

// finishChange ends a change, and those that were planned together with it.
func (d *draft) finishChange(id api.ChangeID, slots int) {
	end := func(change *Change) {
		change.Status, change.Finished, change.Last = api.ChangeDone, d.header.Time, d.state.Version()
	}
	d.editChange(id, func(change *Change) {
		end(change)
		change.Progress.Done, change.Progress.Total = slots, slots
	})
	for _, other := range d.state.changes {
		if other.With == id && other.Status == api.ChangeRunning {
			d.editChange(other.ID, end)
		}
	}
}

// startChanges has changes wait for what was just wanted for them. The last of them is named as its cause;
// the others were part of it.
func (d *draft) startChanges(ids []api.ChangeID) {
	if len(ids) == 0 {
		return
	}
	for i, id := range ids {
		last := ids[len(ids)-1]
		d.editChange(id, func(change *Change) {
			change.Status, change.Last, change.want = api.ChangeRunning, d.state.Version(), d.state.want
			if i < len(ids)-1 {
				change.With = last
				change.Detail = joinDetail(change.Detail, fmt.Sprintf("planned together with change %d", last))
				return
			}
			d.cause, d.result.Change = change.cause(), change.ID
		})
	}
	d.tally(ids[len(ids)-1], tally{}) // it may have nothing to wait for
	d.state.pending = without(d.state.pending, ids)
}

// checkProgress compares what running changes say with the slots.
func (s *State) checkProgress() error {
	left := make(map[api.ChangeID]int)
	for i := range s.slots.count() * countIf(s.Managed()) {
		slot := s.slots.at(ring.Slot(i))
		left[slot.WantedBy] += countIf(!slot.settled(s.want.row(ring.Slot(i))))
	}
	for _, change := range s.changes {
		if change.Status != api.ChangeRunning || change.With != 0 {
			continue
		}
		if is := change.Progress; is.Total-is.Done != left[change.ID] || is.Done == is.Total {
			return fmt.Errorf("change %d says %d of %d slots are done, and %d are not", change.ID, is.Done, is.Total, left[change.ID])
		}
	}
	return nil
}
