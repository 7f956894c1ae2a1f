package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// Cancel ends a change: what has not moved stays where it is, and a node that was to drain no longer does.
type Cancel struct {
	Change api.ChangeID `json:"change"`
}

// Evict drains a node without its help: replicas in sync take over at once.
type Evict struct {
	Node api.NodeID `json:"node"`
}

// Out says that a node is down for so long that others are to take over its part of the ring.
type Out struct {
	Node    api.NodeID    `json:"node"`
	Session api.SessionID `json:"session"` // guards against a verdict on a predecessor
}

func (Cancel) commandType() CommandType { return TypeCancel }
func (Evict) commandType() CommandType  { return TypeEvict }
func (Out) commandType() CommandType    { return TypeOut }

func (d *draft) cancel(command Cancel) *api.Problem {
	change, problem := d.state.Change(command.Change)
	if problem != nil {
		return problem
	}
	if change.Status != api.ChangePending && change.Status != api.ChangeRunning && change.Status != api.ChangeHeld {
		return api.NewProblem(api.CodeConflict, "change %d (%s) is %s", change.ID, change.cause(), change.Status).InField("change")
	}
	if change.With != 0 {
		return api.NewProblem(api.CodeConflict, "change %d was planned together with change %d", change.ID, change.With).InField("change").
			WithNext("cancel that one: stead ring cancel %d", change.With)
	}
	stays := d.keepSlots(change.ID)
	d.undrain(change)
	d.state.pending = without(d.state.pending, []api.ChangeID{change.ID})
	d.endCancelled(change, stays)
	d.cause, d.result.Change = "cancel "+change.cause(), change.ID
	return nil
}

// endCancelled marks a change as cancelled, and what was planned together with it.
func (d *draft) endCancelled(cancelled *Change, stays int) {
	detail := fmt.Sprintf("cancelled by %s; %d slots stay where they are", d.header.Actor, stays)
	d.result.Note = detail
	for _, change := range d.state.changes {
		if change.ID != cancelled.ID && (change.With != cancelled.ID || change.Status != api.ChangeRunning) {
			continue
		}
		d.editChange(change.ID, func(change *Change) {
			change.Status, change.Finished, change.Last = api.ChangeCancelled, d.header.Time, d.state.Version()
			change.Detail = joinDetail(change.Detail, detail)
		})
	}
}

// keepSlots wants the slots that a change is still moving to be where they are.
func (d *draft) keepSlots(change api.ChangeID) (slots int) {
	for i := range d.state.slots.count() {
		slot, row := d.state.slots.at(ring.Slot(i)), d.state.want.row(ring.Slot(i))
		if slot.WantedBy == change && !slot.settled(row) {
			d.setWant(ring.Slot(i), slot.held(row), 0)
			slots++
		}
	}
	return slots
}

// held is a want that leaves the slot where it is. Where it has fewer copies than it should, those that were
// to come still are.
func (s Slot) held(row []ring.NodeIndex) []ring.NodeIndex {
	kept := make([]ring.NodeIndex, 0, len(row))
	add := func(index ring.NodeIndex) {
		if len(kept) < len(row) && !slices.Contains(kept, index) {
			kept = append(kept, index)
		}
	}
	for _, replica := range s.ISR {
		add(replica.Node)
	}
	for _, index := range wantedIn(row) {
		add(index)
	}
	for len(kept) < len(row) {
		kept = append(kept, ring.NoNode)
	}
	return kept
}

// undrain lets a node hold slots again that a change had drained.
func (d *draft) undrain(change *Change) {
	known := d.state.Node(change.Node)
	if known == nil || !known.Draining || change.Kind != "drain" && change.Kind != "evict" {
		return
	}
	node := *known
	node.Draining = false
	d.setNode(node.Index, &node)
}

func (d *draft) evict(command Evict) *api.Problem {
	known, problem := d.state.mustNode(command.Node)
	if problem != nil {
		return problem
	}
	if !known.Draining {
		if problem := d.setDraining(known, true); problem != nil {
			return problem
		}
	}
	moved, _ := d.succeed(func(r Replica) bool { return r.Node != known.Index && d.state.up(r) })
	bound := len(d.state.Bound(known))
	change := d.addChange("evict", command.Node, api.ChangePending)
	change.Detail = fmt.Sprintf("%d slots went to replicas in sync, %d could not be taken", moved[known.Index], bound)
	return nil
}

// Bound lists, ascending, the slots that only a node can serve, though others were to take them, and why.
func (s *State) Bound(node *Node) []api.MoveBlocked {
	var list []api.MoveBlocked
	for i := range s.slots.count() {
		slot := s.slots.at(ring.Slot(i))
		if slot.Primary != node.Index {
			continue
		}
		blocked := api.MoveBlocked{Slot: ring.Slot(i), Reason: "it has the only copy"}
		if len(slot.ISR) > 1 {
			other := slot.ISR[1]
			blocked.To, blocked.Reason = s.nodes[other.Node].Registration.ID, "the other replicas in sync are down"
		}
		list = append(list, blocked)
	}
	return list
}

func (d *draft) out(command Out) *api.Problem {
	known, problem := d.state.mustNode(command.Node)
	switch {
	case problem != nil:
		return problem
	case known.Session != command.Session:
		return api.NewProblem(api.CodeUnknownSession, "node %s has registered anew since", command.Node).InField("session")
	case known.Status != api.NodeDown || known.Out:
		d.result.Note = "the node is up, or out already"
		return nil
	}
	node := *known
	node.Out = true
	d.setNode(node.Index, &node)
	d.addChange("out", command.Node, api.ChangePending).Detail = "down for long; others take over its part of the ring"
	return nil
}

func (d *draft) force(command Force) *api.Problem {
	if int(command.Slot) >= d.state.slots.count() {
		return api.NewProblem(api.CodeRingGeometry, "there is no slot %d among %d", command.Slot, d.state.slots.count()).InField("slot")
	}
	node, problem := d.state.mustNode(command.Node)
	if problem != nil {
		return problem
	}
	if node.Status == api.NodeDown || node.unheard() {
		return api.NewProblem(api.CodeConflict, "node %s is down and cannot take the slot", command.Node).InField("node").WithNext("start it")
	}
	if problem := d.state.checkUnserved(command.Slot); problem != nil {
		return problem
	}
	slot := d.state.slots.at(command.Slot)
	next, refusal := ownership.Decide(slot.config(), ownership.Proposal[Replica]{
		Kind: ownership.Force, Base: slot.Epoch, Primary: node.replica(), ISR: node.alone(),
	}, d.state.facts(command.Slot))
	if refusal != ownership.Accepted {
		return api.NewProblem(api.CodeConflict, "slot %d cannot be forced to node %s: %s", command.Slot, command.Node, refusal)
	}
	detail := d.state.forcedFrom(command.Slot)
	forced := slot.with(next, SlotKind(ownership.Force), "")
	forced.Awaits, forced.Claim = "", nil
	d.setSlot(command.Slot, forced)
	change := d.addChange("force", command.Node, api.ChangeDone)
	change.Words = fmt.Sprintf("force slot %d to %s", command.Slot, command.Node)
	change.Lossy, change.Detail = true, detail
	return nil
}

// checkUnserved refuses to take a slot from a primary that is up: what it acknowledged would be lost, and there
// are ways to move it that lose nothing.
func (s *State) checkUnserved(slot ring.Slot) *api.Problem {
	primary := s.slots.at(slot).config().Primary
	if !s.up(primary) || s.nodes[primary.Node].unheard() {
		return nil
	}
	id := s.nodes[primary.Node].Registration.ID
	return api.NewProblem(api.CodeSlotServed, "slot %d is served by node %s, which is up", slot, id).InField("slot").
		WithNext("move it with its state: stead nodes drain %s, or stead ring plan; if %s hangs, stead nodes evict %s, or stop it", id, id, id)
}

// forcedFrom says what forcing a slot takes from whom.
func (s *State) forcedFrom(slot ring.Slot) string {
	is := s.slots.at(slot)
	holder := s.NodeAt(is.Primary)
	switch {
	case is.Awaits == everybody:
		return fmt.Sprintf("unfenced: the slot waited for the reports of %d nodes", s.awaited)
	case is.Recovering():
		return fmt.Sprintf("unfenced: the slot waited for the report of node %s", is.Awaits)
	case holder == nil:
		return fmt.Sprintf("unfenced: nobody held the slot since epoch %d", is.Epoch)
	default:
		return fmt.Sprintf("unfenced: node %s was primary in epoch %d, and what only its in-sync set has is given up", holder.Registration.ID, is.Epoch)
	}
}
