package fsm

import (
	"fmt"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Rebirth is how a state comes to be that no log led to.
type Rebirth struct {
	Kind   string // restore or recover, as history names it
	Actor  string
	Time   time.Time
	Detail string // from what
	// Level is put in force if it is higher.
	Level int
	// Members replaces the members there were; nil leaves them.
	Members []Member
}

// Fresh reports whether nothing was ever done in the cluster but to found it.
func (s *State) Fresh() bool { return s.lastID <= 1 && len(s.byID) == 0 }

// Reborn is the present state with nodes, slots and settings taken from another, in a new generation.
// Members, level, results and whatever else belongs to the control plane itself stay the present's.
//
// What was restored may be older than what the nodes hold. So every session is void, epochs begin
// above those of all generations before, and a slot whose store can say better is served by nobody
// until it has (see Report). History is the longer of the two: change ids never run backwards. Ring
// versions of earlier generations are no longer kept.
func (s *State) Reborn(from *State, how Rebirth) *State {
	d := newDraft(s, s.Index+1, At(how.Time, By(how.Actor)))
	d.rebirth(from, how)
	return d.finish()
}

func (d *draft) rebirth(from *State, how Rebirth) {
	s, next := d.before, &d.state
	next.Clock = max(next.Clock, from.Clock)
	d.header.Time = next.Clock
	next.Level = max(next.Level, how.Level)
	if how.Members != nil {
		next.Members, next.Enlisted = how.Members, nil
	}
	next.Cluster, next.Settings = from.Cluster, from.Settings
	next.Generation = max(s.Generation, from.Generation) + 1
	next.Number = max(s.Number, from.Number) + 1
	next.versions, next.history = tail[*versionRecord]{}, 0
	next.want, next.removed = from.want, from.removed
	next.slotsIndex, next.planIndex = next.Index, next.Index
	next.adoptNodes(from)
	next.adoptSlots(from, s)
	d.adoptHistory(from)
	change := d.addChange(how.Kind, "", api.ChangePending)
	change.Lossy = true
	change.Detail = fmt.Sprintf("%s; %d slots wait for reports", how.Detail, next.recovering)
	change.First, change.Last = next.Version(), next.Version()
}

// adoptNodes lists the nodes that another state lists. None of them is known to live.
func (s *State) adoptNodes(from *State) {
	s.nodes, s.byID, s.awaited = make([]*Node, len(from.nodes)), from.byID, 0
	for i, known := range from.nodes {
		if known == nil {
			continue
		}
		node := *known
		node.Held, node.Out, node.Awaited = false, false, !node.Static()
		if !node.Static() {
			node.Session = ""
		}
		if node.Resets() && node.Status == api.NodeDown && !s.Managed() {
			node.Awaited = false
		}
		s.nodes[i] = &node
		s.awaited += countIf(node.Awaited)
	}
}

// adoptSlots takes over who holds what, as far as it can be believed. Where nodes hand slots over, the state
// that is replaced knows as well: those it names are heard, be they listed or not.
func (s *State) adoptSlots(from, replaced *State) {
	count := from.slots.count()
	s.slots, s.recovering = newSlotTable(count), 0
	size, floor := count/chunkCount, api.EpochFloor(s.Generation)
	for i := range count {
		slot := from.slots.at(ring.Slot(i))
		claim, known := from.claimOf(slot), slot.known()
		if s.Managed() && replaced.Cluster == from.Cluster && i < replaced.slots.count() {
			claim, known = replaced.newerClaim(ring.Slot(i), claim, known)
		}
		slot.Known = known
		slot.Epoch, slot.Kind, slot.Proposer, slot.Proposal = floor+1, KindReport, "", 0
		slot.WantedBy = 0
		if s.Managed() {
			slot.Updated = s.Index
			slot = s.reclaimed(slot, claim)
		} else {
			slot.Awaits = s.wordOn(slot)
		}
		s.slots.chunks[i/size][i%size] = slot
		s.recovering += countIf(slot.Recovering())
	}
}

// wordOn is the node that must be heard before the slot is served, "" if nobody need be: what a reset
// node holds may be lost, and a static one cannot report.
func (s *State) wordOn(slot Slot) api.NodeID {
	holder := s.NodeAt(slot.Primary)
	if holder == nil {
		if holder = s.Node(slot.Awaits); holder == nil {
			return slot.Awaits
		}
	}
	if !holder.Awaited || holder.Resets() {
		return ""
	}
	return holder.Registration.ID
}

// adoptHistory keeps the longer history of the two, and leaves nothing in it undecided.
func (d *draft) adoptHistory(from *State) {
	next := &d.state
	own := next.lastID >= from.lastID
	if !own {
		next.changes, next.lastID = from.changes, from.lastID
	}
	next.changes, next.pending = slices.Clone(next.changes), nil
	d.ownChanges = true
	fits := from.slots.count() == d.before.slots.count() && from.want.replicas == d.before.want.replicas
	for i, change := range next.changes {
		edited := *change
		if own && !fits {
			edited.want = wantTable{} // of a ring of another shape
		}
		if change.Status == api.ChangePending || change.Status == api.ChangeHeld || change.Status == api.ChangeRunning {
			edited.Status, edited.Finished, edited.Updated = api.ChangeSuperseded, next.Clock, next.updateIndex()
		}
		next.changes[i] = &edited
	}
}
