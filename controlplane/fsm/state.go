package fsm

import (
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// State is everything the members agree on, at one log index. It is never changed once Apply returned
// it: readers keep a pointer as long as they like, and a snapshot is that pointer.
type State struct {
	Cluster    api.ClusterID // "" until Bootstrap
	Generation uint64
	Number     uint64 // of the ring version
	Index      uint64 // of the last log entry applied
	Level      int
	Clock      int64 // milliseconds; the highest command time seen
	Settings   api.Settings
	Members    []Member
	Enlisted   []Enlisted // members asked for, oldest first

	nodes []*Node  // by ring.NodeIndex; nil is free
	byID  []uint16 // indexes of listed nodes, by id
	slots slotTable
	want  wantTable

	changes []*Change // ascending, without gaps
	lastID  api.ChangeID
	pending []api.ChangeID // recorded, not planned yet
	// forgotten is the last log entry at which something happened to a change that is no longer kept.
	forgotten  uint64
	deliveries []Delivery // of webhooks
	removed    []Removed  // nodes, oldest first

	versions tail[*versionRecord]
	results  tail[*keyedResult] // of commands with an idempotency key, oldest first
	history  int                // bytes that versions hold on to

	recovering int // slots that nobody serves until a store has reported
	awaited    int // nodes that have not reported since the generation began

	slotsIndex uint64 // log index of the last change to what SlotConfig, SlotNodes or Settings tell
	planIndex  uint64 // log index of the last change to what plans are made of, in managed clusters
}

// Node is a registered node.
type Node struct {
	Index        ring.NodeIndex
	Registration api.Registration // defaults filled
	Session      api.SessionID
	Status       api.NodeStatus
	Since        int64 // of the status, milliseconds
	Registered   int64
	Draining     bool
	// Held: the governor keeps its slots from being given away.
	Held bool
	// Left: it is down because it said that it stops.
	Left bool `json:",omitempty"`
	// Out: it is down for so long that others take over its part of the ring.
	Out bool `json:",omitempty"`
	// Awaited: it has not said yet what it last acted on before the state was restored.
	Awaited bool `json:",omitempty"`
	// Maintenance is until when its absence is expected, by the state's clock in milliseconds; 0: never was.
	Maintenance int64 `json:",omitempty"`
}

// New is the state before the first command.
func New() *State { return &State{Generation: 1, Level: 1} }

// Version is the ring version the state stands at.
func (s *State) Version() api.Version {
	return api.Version{Generation: s.Generation, Number: s.Number}
}

// Time is the state's clock.
func (s *State) Time() time.Time { return time.UnixMilli(s.Clock).UTC() }

// NewestChange is the id of the last change, 0 if there was none.
func (s *State) NewestChange() api.ChangeID { return s.lastID }

// Node finds a listed node, nil if there is none of that id.
func (s *State) Node(id api.NodeID) *Node {
	place, found := s.place(id)
	if !found {
		return nil
	}
	return s.nodes[s.byID[place]]
}

// NodeAt is the node listed at an index, nil for free indexes and ring.NoNode.
func (s *State) NodeAt(index ring.NodeIndex) *Node {
	if int(index) >= len(s.nodes) {
		return nil
	}
	return s.nodes[index]
}

// Nodes lists the nodes by id.
func (s *State) Nodes() []*Node {
	listed := make([]*Node, len(s.byID))
	for i, index := range s.byID {
		listed[i] = s.nodes[index]
	}
	return listed
}

func (s *State) place(id api.NodeID) (int, bool) {
	return slices.BinarySearchFunc(s.byID, id, func(index uint16, id api.NodeID) int {
		return strings.Compare(string(s.nodes[index].Registration.ID), string(id))
	})
}

// Slot is a slot's configuration.
func (s *State) Slot(slot ring.Slot) Slot { return s.slots.at(slot) }

// SlotCount is the number of slots, 0 before Bootstrap.
func (s *State) SlotCount() int { return s.slots.count() }

// SlotsHeld counts the slots each node index is primary of.
func (s *State) SlotsHeld() map[ring.NodeIndex]int {
	held := make(map[ring.NodeIndex]int)
	for slot := range s.slots.count() {
		if primary := s.slots.at(ring.Slot(slot)).Primary; primary != ring.NoNode {
			held[primary]++
		}
	}
	return held
}

// Table writes the ring table of the present version.
func (s *State) Table() *ring.Table {
	table := ring.NewTable(s.Cluster, ring.Bits(s.Settings.SlotBits), s.Settings.Replicas)
	table.Version = s.Version()
	table.Previous = s.Number - min(1, s.Number)
	table.Nodes = make([]ring.Node, len(s.nodes))
	for i, node := range s.nodes {
		if node != nil {
			table.Nodes[i] = node.ringNode()
		}
	}
	for i := range s.slots.count() {
		slot := s.slots.at(ring.Slot(i))
		table.Epochs[i] = slot.Epoch
		copy(table.ReplicasOf(ring.Slot(i)), slot.replicas(s.Settings.Replicas))
	}
	return table
}

// ringNode is the node as the table lists it.
func (n *Node) ringNode() ring.Node {
	return ring.Node{ID: n.Registration.ID, Address: n.Registration.Address, Status: n.ringStatus()}
}

func (n *Node) ringStatus() ring.Status {
	switch {
	case n.Status == api.NodeDown:
		return ring.StatusDown
	case n.Draining:
		return ring.StatusDraining
	case n.Status == api.NodeSuspect:
		return ring.StatusSuspect
	default:
		return ring.StatusUp
	}
}

// Static reports whether the node sends no beats.
func (n *Node) Static() bool { return n.Registration.Lease == api.LeaseNone }

// Resets reports whether the node's slots may be given away empty.
func (n *Node) Resets() bool { return n.Registration.OnDown == api.OnDownReset }
