package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Result is what a command answers its proposer.
type Result struct {
	// Problem refuses the command; the state is as before but for its index and clock.
	Problem *api.Problem
	Change  api.ChangeID // the change it made, 0 if none
	Version api.Version
	Node    *Node // of a registration
	Created bool  // the registration listed a new node
	Note    string
	// Verdicts answer the proposals of a Cas, in their order.
	Verdicts []api.SlotVerdict
	// Replayed: an earlier command with the same key had this result; nothing was done now.
	Replayed bool
}

// Apply returns the state after one log entry. The error is ErrUnknownCommand or a damaged entry: the
// process must stop, for it can no longer agree with the others.
func Apply(before *State, index uint64, entry []byte) (*State, Result, error) {
	header, command, err := Decode(entry)
	if err != nil {
		return nil, Result{}, err
	}
	if level := levelSet(command); level > LevelSupported {
		return nil, Result{}, fmt.Errorf("cannot follow to level %d: %w", level, ErrUnknownCommand)
	}
	d := newDraft(before, index, header)
	earlier, problem := d.earlier()
	if earlier != nil {
		return d.finish(), *earlier, nil
	}
	if problem == nil {
		problem = d.run(command)
	}
	if problem == nil {
		d.endRecovery()
	}
	if problem != nil {
		d = newDraft(before, index, header)
		return d.finish(), Result{Problem: problem, Version: before.Version()}, nil
	}
	d.number()
	d.advance()
	d.result.Version = d.state.Version()
	d.remember()
	return d.finish(), d.result, nil
}

// levelSet is the level that a command puts in force, 0 if it leaves it.
func levelSet(command Command) int {
	switch command := command.(type) {
	case Bootstrap:
		return command.Level
	case Level:
		return command.Level
	default:
		return 0
	}
}

func (d *draft) run(command Command) *api.Problem {
	if problem := d.state.CheckBase(d.header.Base); problem != nil {
		return problem
	}
	if bootstrap, first := command.(Bootstrap); first {
		return d.bootstrap(bootstrap)
	}
	if d.state.Cluster == "" {
		return api.NewProblem(api.CodeConflict, "the cluster is not made yet")
	}
	switch command := command.(type) {
	case Member:
		return d.member(command)
	case Register:
		return d.register(command.Registration)
	case Status:
		return d.status(command)
	case Drain:
		return d.drain(command)
	case Patch:
		return d.patch(command)
	case Remove:
		return d.remove(command)
	case Rebalance:
		return d.rebalance()
	case Settings:
		return d.settings(command)
	case Want:
		return d.wantRing(command)
	case Hold:
		return d.hold(command)
	case Level:
		return d.level(command)
	case Report:
		return d.report(command)
	case Delivered:
		return d.delivered(command)
	case Arrange:
		return d.arrange(command)
	case Maintenance:
		return d.maintenance(command)
	case Forget:
		return d.forget(command)
	case Enlist:
		return d.enlistMember(command)
	case Restore:
		return d.restore(command)
	case Cas, Cancel, Evict, Force, Out:
		return d.runManaged(command)
	default:
		return api.NewProblem(api.CodeInternal, "command %T has no handler", command)
	}
}

// draft is a state under construction. It copies what it writes and notes how the ring's entries were,
// so that number can record the step back.
type draft struct {
	before *State
	state  State
	header Header
	result Result

	cause       string
	made        []*Change        // by this command
	leaving     []ring.NodeIndex // nodes that the end of this command removes
	ownNodes    bool
	ownChunks   [chunkCount]bool
	ownWant     [chunkCount]bool
	ownNames    bool
	tallies     map[api.ChangeID]tally // what moved, of each change
	ownChanges  bool
	oldNodes    map[ring.NodeIndex]ring.Node
	oldSlots    map[ring.Slot][]ring.NodeIndex
	oldEpochs   map[ring.Slot]ring.Epoch
	oldSettings *api.Settings
}

func newDraft(before *State, index uint64, header Header) *draft {
	d := &draft{before: before, state: *before, header: header}
	d.state.Index = index
	d.state.Clock = max(before.Clock, header.Time)
	d.header.Time = d.state.Clock
	d.forgetResults()
	return d
}

// CheckBase refuses what was asked in sight of another change than the newest; 0: of any.
func (s *State) CheckBase(base api.ChangeID) *api.Problem {
	if base == 0 || base == s.lastID {
		return nil
	}
	detail := "there was none"
	if newest, problem := s.Change(s.lastID); problem == nil {
		detail = newest.cause() + " by " + newest.Actor
	}
	return api.NewProblem(api.CodePrecondition, "the newest change is %d (%s), not %d", s.lastID, detail, base).
		InField("If-Match").WithNext("look at what changed: stead ring diff c%d c%d", base, s.lastID)
}

// setNode puts a node (nil: none) at an index.
func (d *draft) setNode(index ring.NodeIndex, node *Node) {
	if !d.ownNodes {
		d.state.nodes = slices.Clone(d.state.nodes)
		d.ownNodes = true
	}
	for int(index) >= len(d.state.nodes) {
		d.state.nodes = append(d.state.nodes, nil)
	}
	if d.oldNodes == nil {
		d.oldNodes = make(map[ring.NodeIndex]ring.Node)
	}
	if _, noted := d.oldNodes[index]; !noted {
		d.oldNodes[index] = d.ringNodeAt(index)
	}
	d.state.awaited += countIf(node.awaited()) - countIf(d.state.nodes[index].awaited())
	if node.slotNode() != d.state.nodes[index].slotNode() {
		d.state.slotsIndex = d.state.Index
	}
	d.state.planIndex = d.state.Index
	d.state.nodes[index] = node
}

func (d *draft) ringNodeAt(index ring.NodeIndex) ring.Node {
	if node := d.state.NodeAt(index); node != nil {
		return node.ringNode()
	}
	return ring.Node{}
}

// setSlot gives a slot a configuration.
func (d *draft) setSlot(slot ring.Slot, config Slot) {
	if d.state.Managed() {
		row := d.state.want.row(slot)
		was := d.state.slots.at(slot)
		d.tally(config.WantedBy, tally{done: countIf(config.settled(row)) - countIf(was.settled(row))})
		config.Updated, d.state.slotsIndex = d.state.Index, d.state.Index
	}
	d.putSlot(slot, config)
}

func (d *draft) putSlot(slot ring.Slot, config Slot) {
	size := len(d.state.slots.chunks[0])
	chunk := int(slot) / size
	if !d.ownChunks[chunk] {
		d.state.slots.chunks[chunk] = slices.Clone(d.state.slots.chunks[chunk])
		d.ownChunks[chunk] = true
	}
	if d.oldSlots == nil {
		d.oldSlots = make(map[ring.Slot][]ring.NodeIndex)
		d.oldEpochs = make(map[ring.Slot]ring.Epoch)
	}
	if _, noted := d.oldSlots[slot]; !noted {
		old := d.state.slots.at(slot)
		d.oldSlots[slot] = old.replicas(d.state.Settings.Replicas)
		d.oldEpochs[slot] = old.Epoch
	}
	d.state.recovering += countIf(config.Recovering()) - countIf(d.state.slots.at(slot).Recovering())
	d.state.slots.chunks[chunk][int(slot)%size] = config
}

// addChange records a change that this command made.
func (d *draft) addChange(kind string, node api.NodeID, status api.ChangeStatus) *Change {
	d.ownChangeList()
	d.state.lastID++
	change := &Change{
		ID: d.state.lastID, Kind: kind, Node: node, Actor: d.header.Actor,
		Time: d.header.Time, Status: status, Updated: d.state.updateIndex(),
	}
	if status == api.ChangePending {
		d.state.pending = append(slices.Clone(d.state.pending), change.ID)
	} else {
		change.Finished = d.header.Time
	}
	d.state.changes = append(d.state.changes, change)
	d.state.trimChanges()
	d.made = append(d.made, change)
	d.cause = change.cause()
	d.result.Change = change.ID
	return change
}

// supersedeHeld closes the expiries of a node that the governor held: a person, or its return, decided.
func (d *draft) supersedeHeld(node api.NodeID) {
	for _, change := range d.before.HeldChanges() {
		if change.Node == node {
			d.editChange(change.ID, func(change *Change) {
				change.Status, change.Finished = api.ChangeSuperseded, d.header.Time
			})
		}
	}
}

// updateIndex dates what happens to a change, by the log. Members of level 1 do not know it.
func (s *State) updateIndex() uint64 {
	if s.Level < 2 {
		return 0
	}
	return s.Index
}

func (d *draft) ownChangeList() {
	if !d.ownChanges {
		d.state.changes = slices.Clone(d.state.changes)
		d.ownChanges = true
	}
}

// editChange replaces a recorded change by an edited copy, which is news.
func (d *draft) editChange(id api.ChangeID, edit func(*Change)) {
	d.amendChange(id, func(change *Change) {
		change.Updated = d.state.updateIndex()
		edit(change)
	})
}

// amendChange replaces a recorded change by an edited copy.
func (d *draft) amendChange(id api.ChangeID, edit func(*Change)) {
	for _, made := range d.made {
		if made.ID == id {
			edit(made)
			return
		}
	}
	if _, problem := d.state.Change(id); problem != nil {
		return // no longer kept
	}
	d.ownChangeList()
	place := id - d.state.OldestChange()
	edited := *d.state.changes[place]
	edit(&edited)
	d.state.changes[place] = &edited
}

// number gives the ring its next version, if it was touched, and dates the changes with it.
func (d *draft) number() {
	undo := d.undo()
	if len(undo.Nodes)+len(undo.Slots) > 0 || d.oldSettings != nil {
		d.state.Number++
		d.recordVersion(undo)
	}
	for _, change := range d.made {
		change.First, change.Last = d.state.Version(), d.state.Version()
	}
}

// finish hands the state out as a copy of its own. A pointer into the draft would hold on to the state
// before, and that to the one before it, back to the first.
func (d *draft) finish() *State {
	after := d.state
	return &after
}

// undo lists the ring entries that differ from before, as they were.
func (d *draft) undo() ring.Delta {
	var undo ring.Delta
	for _, index := range sortedKeys(d.oldNodes) {
		if old := d.oldNodes[index]; old != d.ringNodeAt(index) {
			undo.Nodes = append(undo.Nodes, ring.NodeEntry{Index: index, Node: old})
		}
	}
	for _, slot := range sortedKeys(d.oldSlots) {
		now := d.state.slots.at(slot)
		if d.oldEpochs[slot] == now.Epoch && equalIndexes(d.oldSlots[slot], now.replicas(d.state.Settings.Replicas)) {
			continue
		}
		undo.Slots = append(undo.Slots, slot)
		undo.Epochs = append(undo.Epochs, d.oldEpochs[slot])
		undo.Owners = append(undo.Owners, d.oldSlots[slot]...)
	}
	return undo
}

func sortedKeys[K ring.Slot | ring.NodeIndex | api.ChangeID, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (d *draft) recordVersion(undo ring.Delta) {
	record := &versionRecord{
		Number: d.state.Number, Time: d.header.Time, Cause: d.cause, Before: undo, Settings: d.oldSettings,
		Change: d.result.Change,
	}
	d.state.versions = d.state.versions.push(record)
	d.state.history += record.size()
	for len(d.state.versions.items) > 1 && d.state.history > historyBytesKept {
		d.state.history -= d.state.versions.items[0].size()
		d.state.versions = d.state.versions.drop(1)
	}
}
