package fsm

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// SlotsIndex is the log index of the last change to anything that a feed of slots tells: configurations,
// wants, nodes, settings.
func (s *State) SlotsIndex() uint64 { return s.slotsIndex }

// SlotsSince lists, ascending, the slots whose configuration or want changed after a log index; all: every slot.
func (s *State) SlotsSince(after uint64, all bool) []api.SlotConfig {
	list := []api.SlotConfig{}
	for i := range s.slots.count() {
		if all || s.slots.at(ring.Slot(i)).Updated > after {
			list = append(list, s.SlotConfig(ring.Slot(i)))
		}
	}
	return list
}

// SlotConfig is a slot's configuration as the API shows it. With state none the want is whoever has it.
func (s *State) SlotConfig(slot ring.Slot) api.SlotConfig {
	is := s.slots.at(slot)
	shown := api.SlotConfig{
		Slot: slot, Epoch: is.Epoch, Kind: is.Kind.String(), Proposer: is.Proposer, Recovering: is.Recovering(),
	}
	for _, index := range wantedIn(s.want.row(slot)) {
		shown.Want = append(shown.Want, s.want.names[index])
	}
	if primary := s.NodeAt(is.Primary); primary != nil && !is.Recovering() {
		shown.Primary = primary.Registration.ID
		for _, replica := range is.ISR {
			shown.ISR = append(shown.ISR, api.Replica{Node: s.nodes[replica.Node].Registration.ID, Store: replica.Store})
		}
	}
	return shown
}

// SlotNodes lists the nodes, by id, as those that hold slots see them.
func (s *State) SlotNodes() []api.SlotNode {
	list := make([]api.SlotNode, len(s.byID))
	for i, index := range s.byID {
		list[i] = s.nodes[index].slotNode()
	}
	return list
}

func (n *Node) slotNode() api.SlotNode {
	if n == nil {
		return api.SlotNode{}
	}
	return api.SlotNode{
		ID: n.Registration.ID, Address: n.Registration.Address, Store: n.Registration.StoreID, Status: n.Status, Left: n.Left,
	}
}

// SlotsInSync counts the slots whose state each node index has, as primary or not.
func (s *State) SlotsInSync() map[ring.NodeIndex]int {
	have := make(map[ring.NodeIndex]int)
	for i := range s.slots.count() {
		for _, replica := range s.slots.at(ring.Slot(i)).ISR {
			have[replica.Node]++
		}
	}
	return have
}

// PlanBase names what plans are made of: the ring version with state none, where slots move with it; else the
// log index at which nodes or wants last changed, for slots move all the time.
func (s *State) PlanBase() uint64 {
	if s.Managed() {
		return s.planIndex
	}
	return s.Number
}

// WantTable is the ring as it will be once every slot is as it is wanted. A slot of which nothing is wanted
// is as it is.
func (s *State) WantTable() *ring.Table {
	table := s.Table()
	for i := range s.slots.count() {
		if row := s.want.row(ring.Slot(i)); row[0] != ring.NoNode {
			copy(table.ReplicasOf(ring.Slot(i)), row)
		}
	}
	return table
}
