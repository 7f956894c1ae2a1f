package fsm

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Report is what a store last acted on before the state was restored: the ring as it knew it. The
// highest epoch of each slot wins.
type Report struct {
	Node    api.NodeID    `json:"node"`
	Session api.SessionID `json:"session"`
	Version api.Version   `json:"version"` // of that ring; zero: it never had one
	// Owners are the nodes that Rows name by their place.
	Owners []api.NodeID `json:"owners,omitempty"`
	// Rows are of slots that had an owner: slot u16, epoch u64, owner u16, big-endian.
	Rows []byte `json:"rows,omitempty"`
	// Configs are the configurations that a store of a managed cluster had adopted, instead of Rows.
	Configs []api.SlotConfig `json:"configs,omitempty"`
}

const reportRow = 2 + 8 + 2

// ReportOf is the report of a node that last acted on the table, as far as it is news to the state:
// what is known already need not go through the log. A nil table is that of a node that had none.
func (s *State) ReportOf(node api.NodeID, session api.SessionID, table *ring.Table) Report {
	report := Report{Node: node, Session: session}
	if table == nil {
		return report
	}
	report.Version = table.Version
	places := make(map[ring.NodeIndex]uint16)
	for i := range min(len(table.Epochs), s.slots.count()) {
		slot, epoch := ring.Slot(i), table.Epochs[i]
		index := table.Primary(slot)
		owner, owned := table.Node(index)
		if !owned || epoch <= s.slots.at(slot).Known {
			continue
		}
		place, known := places[index]
		if !known {
			place = uint16(len(report.Owners))
			places[index] = place
			report.Owners = append(report.Owners, owner.ID)
		}
		report.Rows = binary.BigEndian.AppendUint16(report.Rows, uint16(slot))
		report.Rows = binary.BigEndian.AppendUint64(report.Rows, uint64(epoch))
		report.Rows = binary.BigEndian.AppendUint16(report.Rows, place)
	}
	return report
}

// Recovers reports whether reports still count: a slot recovers, or a node has not reported.
func (s *State) Recovers() bool { return s.recovering > 0 || s.awaited > 0 }

// Recovering counts the slots that nobody serves until a store has reported.
func (s *State) Recovering() int { return s.recovering }

// Awaiting lists the nodes whose reports are waited for, by id: those that the state lists, and those
// that others named as owners of a slot.
func (s *State) Awaiting() []api.NodeID {
	var ids []api.NodeID
	for _, node := range s.Nodes() {
		if node.Awaited {
			ids = append(ids, node.Registration.ID)
		}
	}
	for i := range s.slots.count() * countIf(s.recovering > 0) {
		if slot := s.slots.at(ring.Slot(i)); slot.Recovering() && slot.Awaits != everybody {
			ids = append(ids, slot.Awaits)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// MayReport reports whether a node that is awaited may still be alive: what it knows should come
// before any plan.
func (s *State) MayReport() bool {
	return s.awaited > 0 && slices.ContainsFunc(s.nodes, func(node *Node) bool {
		return node.awaited() && node.Status != api.NodeDown
	})
}

func (n *Node) awaited() bool { return n != nil && n.Awaited }

// unheard: the state was restored and the node, which beats, has not registered since.
func (n *Node) unheard() bool { return n.Session == "" && !n.Static() }

func countIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// expectReport sees to a node that registered: it is awaited if others named it as an owner, or where slots
// have in-sync sets, for it may be in one that nobody else knows of. One that will not report is taken at its
// word.
func (d *draft) expectReport(node *Node) {
	if !node.Registration.Reports {
		d.confirm(node)
		return
	}
	named := d.state.RecoveringFrom(node.Registration.ID) > 0
	if !node.Awaited && (named || d.result.Created && d.state.Managed() && d.state.Recovers()) {
		asked := *node
		asked.Awaited = true
		d.setNode(node.Index, &asked)
		d.result.Node = &asked
	}
}

// report takes over what a store knows. It counts as long as the recovery is open: later, the slots
// have moved on by themselves.
func (d *draft) report(command Report) *api.Problem {
	node, problem := d.state.mustNode(command.Node)
	switch {
	case problem != nil:
		return problem
	case node.Session != command.Session:
		return api.NewProblem(api.CodeUnknownSession, "node %s has registered anew since", command.Node).InField("session")
	case command.Version.Generation >= d.state.Generation:
		return api.NewProblem(api.CodeInvalid, "a ring of generation %d is no earlier one", command.Version.Generation).InField("version")
	case !d.state.Recovers():
		d.result.Note = "nothing waits for a report"
		return nil
	}
	moved, lossy, problem := d.takeReport(command, node)
	if problem != nil {
		return problem
	}
	d.cause = "report " + string(command.Node)
	d.confirm(node)
	if moved > 0 {
		change := d.addChange("report", command.Node, api.ChangeDone)
		change.Lossy = lossy
		change.Progress = api.Progress{Done: moved, Total: moved}
		change.Detail = fmt.Sprintf("as of ring %s %d slots belonged elsewhere than was restored", command.Version, moved)
	}
	return nil
}

// takeReport takes over what is newer than what is known. It counts the slots that belong elsewhere than was
// believed; lossy: one of them was served meanwhile.
func (d *draft) takeReport(command Report, node *Node) (moved int, lossy bool, problem *api.Problem) {
	claims, err := d.state.unpackReport(command)
	if err == nil && d.state.Managed() {
		claims, err = nil, d.state.checkReported(command.Configs)
	}
	if err != nil {
		return 0, false, api.NewProblem(api.CodeInvalid, "%v", err).InField("rows")
	}
	note := func(changed, served bool) {
		moved += countIf(changed)
		lossy = lossy || served
	}
	for _, claim := range claims {
		note(d.claim(claim, node))
	}
	for i := range len(command.Configs) * countIf(d.state.Managed()) {
		note(d.claimConfig(command.Configs[i], node))
	}
	return moved, lossy, nil
}

// claim is one row of a report.
type claim struct {
	slot  ring.Slot
	epoch ring.Epoch
	owner api.NodeID
}

func (s *State) unpackReport(report Report) ([]claim, error) {
	if len(report.Rows)%reportRow != 0 || len(report.Rows)/reportRow > s.slots.count() {
		return nil, fmt.Errorf("%d octets are no rows of %d", len(report.Rows), reportRow)
	}
	var claims []claim
	for rows := report.Rows; len(rows) > 0; rows = rows[reportRow:] {
		slot, owner := binary.BigEndian.Uint16(rows), binary.BigEndian.Uint16(rows[10:])
		if int(slot) >= s.slots.count() || int(owner) >= len(report.Owners) {
			return nil, fmt.Errorf("slot %d or owner %d is out of range", slot, owner)
		}
		if err := report.Owners[owner].Validate(); err != nil {
			return nil, err
		}
		epoch := ring.Epoch(binary.BigEndian.Uint64(rows[2:]))
		if epoch > api.EpochFloor(s.Generation) {
			return nil, fmt.Errorf("epoch %d of slot %d is of this generation", epoch, slot)
		}
		claims = append(claims, claim{ring.Slot(slot), epoch, report.Owners[owner]})
	}
	return claims, nil
}

// claim gives a slot to the owner that the highest epoch names. It answers whether that is another
// than was believed, and whether that other has served it meanwhile.
func (d *draft) claim(claim claim, by *Node) (changed, served bool) {
	slot := d.state.slots.at(claim.slot)
	if claim.epoch <= slot.Known {
		return false, false
	}
	next := slot
	next.Known = claim.epoch
	owner := d.state.Node(claim.owner)
	if believed := d.state.NodeAt(slot.Primary); owner != nil && believed == owner || slot.Awaits == claim.owner {
		d.setSlot(claim.slot, next)
		return false, false
	}
	next.Epoch++
	next.Kind, next.Proposer = KindReport, by.Registration.ID
	next.Primary, next.ISR, next.Awaits = ring.NoNode, nil, claim.owner
	if owner != nil {
		next.Primary, next.ISR = owner.Index, owner.alone()
		if !owner.Awaited || owner.Resets() {
			next.Awaits = ""
		}
	}
	d.setSlot(claim.slot, next)
	return true, !slot.Recovering() && slot.Primary != ring.NoNode
}

// alone is the in-sync set of a slot that only this node has.
func (n *Node) alone() []Replica {
	return []Replica{{Node: n.Index, Store: n.Registration.StoreID}}
}

// confirm ends the waiting for a node: the slots that awaited it are its own.
func (d *draft) confirm(node *Node) {
	if listed := d.state.NodeAt(node.Index); listed.Awaited {
		heard := *listed
		heard.Awaited = false
		d.setNode(node.Index, &heard)
		d.result.Node = &heard
	}
	if d.state.Managed() {
		d.openAll()
		return
	}
	for i := range d.state.slots.count() * countIf(d.state.recovering > 0) {
		if slot := d.state.slots.at(ring.Slot(i)); slot.Awaits == node.Registration.ID {
			slot.Epoch++
			slot.Primary, slot.ISR, slot.Awaits = node.Index, node.alone(), ""
			d.setSlot(ring.Slot(i), slot)
		}
	}
}

// RecoveringFrom counts the slots that wait for the report of a node.
func (s *State) RecoveringFrom(id api.NodeID) int {
	if s.Managed() && s.Node(id).awaited() {
		return s.recovering
	}
	waiting := 0
	for i := range s.slots.count() * countIf(s.recovering > 0) {
		slot := s.slots.at(ring.Slot(i))
		waiting += countIf(slot.Awaits == id || slot.claimedBy(id))
	}
	return waiting
}

// giveUp ends the waiting for a node that is not listed and was named as the owner of slots.
func (d *draft) giveUp(id api.NodeID) bool {
	if d.state.Node(id) != nil || d.state.recovering == 0 {
		return false
	}
	lost := 0
	for i := range d.state.slots.count() {
		slot := d.state.slots.at(ring.Slot(i))
		switch {
		case slot.claimedBy(id):
			d.disclaim(ring.Slot(i), id)
			lost++
		case slot.Awaits == id:
			d.setSlot(ring.Slot(i), slot.vacated())
			lost++
		}
	}
	if lost == 0 {
		return false
	}
	change := d.addChange("remove", id, api.ChangePending)
	change.Lossy, change.LeavesState = true, lost
	change.Detail = fmt.Sprintf("%d slots were given up with it", lost)
	return true
}

// vacated is the slot without a node.
func (s Slot) vacated() Slot {
	return Slot{Epoch: s.Epoch + 1, Primary: ring.NoNode, Kind: KindVacate, Known: s.Known, WantedBy: s.WantedBy}
}

// endRecovery has the ring planned once the last word is in.
func (d *draft) endRecovery() {
	if !d.before.Recovers() || d.state.Recovers() {
		return
	}
	cause, change := d.cause, d.result.Change
	d.addChange("recovered", "", api.ChangePending).Detail = "nothing is waited for any more"
	if d.cause = cause; change != 0 {
		d.result.Change = change
	}
}
