package fsm

import (
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// What follows speaks of slots to package ownership, whose rules decide, and back.

// Managed reports whether slots are handed over by their nodes, as with state managed and hooks, instead of
// flipping.
func (s *State) Managed() bool {
	return s.Settings.State == api.StateManaged || s.Settings.State == api.StateHooks
}

// config is the slot's configuration as the protocol's decisions see it.
func (s Slot) config() ownership.Config[Replica] {
	config := ownership.Config[Replica]{Epoch: s.Epoch, ISR: s.ISR, Primary: nobody}
	for _, replica := range s.ISR {
		if replica.Node == s.Primary {
			config.Primary = replica
		}
	}
	return config
}

// nobody is the primary of a slot that has none.
var nobody = Replica{Node: ring.NoNode}

// with is the slot in a configuration that the protocol decided on.
func (s Slot) with(config ownership.Config[Replica], kind SlotKind, proposer api.NodeID) Slot {
	s.Epoch, s.Primary, s.Kind, s.Proposer = config.Epoch, config.Primary.Node, kind, proposer
	s.ISR = primaryFirst(config)
	return s
}

// primaryFirst lists a configuration's in-sync set.
func primaryFirst(config ownership.Config[Replica]) []Replica {
	return append([]Replica{config.Primary}, config.Others()...)
}

// settled reports whether those that hold the slot are those that should, the primary included. A slot that
// nobody should hold is.
func (s Slot) settled(row []ring.NodeIndex) bool {
	wanted := wantedIn(row)
	if len(wanted) == 0 {
		return true
	}
	if s.Primary != wanted[0] || len(s.ISR) != len(wanted) {
		return false
	}
	return !slices.ContainsFunc(s.ISR, func(r Replica) bool { return !slices.Contains(wanted, r.Node) })
}

// wantedIn is a want's row without its vacant places.
func wantedIn(row []ring.NodeIndex) []ring.NodeIndex {
	if end := slices.Index(row, ring.NoNode); end >= 0 {
		return row[:end]
	}
	return row
}

// replica is the node with the store that it is registered with.
func (n *Node) replica() Replica { return Replica{Node: n.Index, Store: n.Registration.StoreID} }

// registered reports whether a replica is the store that its node runs with now.
func (s *State) registered(r Replica) bool {
	node := s.NodeAt(r.Node)
	return node != nil && node.replica() == r
}

// up reports whether a replica's node is not down, and runs with that store.
func (s *State) up(r Replica) bool {
	return s.registered(r) && s.nodes[r.Node].Status != api.NodeDown
}

// facts are what a decision about a slot depends on.
func (s *State) facts(slot ring.Slot) ownership.Facts[Replica] {
	wanted := wantedIn(s.want.row(slot))
	return ownership.Facts[Replica]{
		Replicas: s.Settings.Replicas, Registered: s.registered, Up: s.up,
		Wanted: func(r Replica) bool { return slices.Contains(wanted, r.Node) },
		Missing: func(isr []Replica) (missing int) {
			for _, index := range wanted {
				missing += countIf(!slices.ContainsFunc(isr, func(r Replica) bool { return r.Node == index }))
			}
			return missing
		},
	}
}

// prefer chooses a slot's next primary: the first that is wanted, else the lowest index.
func (s *State) prefer(slot ring.Slot) func([]Replica) Replica {
	return func(heirs []Replica) Replica {
		for _, index := range wantedIn(s.want.row(slot)) {
			if place := slices.IndexFunc(heirs, func(r Replica) bool { return r.Node == index }); place >= 0 {
				return heirs[place]
			}
		}
		return slices.MinFunc(heirs, func(a, b Replica) int { return int(a.Node) - int(b.Node) })
	}
}

// holds finds the member of the slot's in-sync set that is on a node, whatever its store.
func (s Slot) holds(index ring.NodeIndex) (Replica, bool) {
	place := slices.IndexFunc(s.ISR, func(r Replica) bool { return r.Node == index })
	if place < 0 {
		return nobody, false
	}
	return s.ISR[place], true
}
