package ring

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
)

// Slot and Epoch are the contract's own; ring arithmetic is what gives them meaning.
type (
	Slot  = api.Slot
	Epoch = api.Epoch
)

// Bits is k: the ring has 2^k slots.
type Bits uint8

// Slots is the number of slots of a ring of k bits.
func (k Bits) Slots() int { return 1 << k }

// Of cuts the circle: the slot of a hash is its k highest bits.
func (k Bits) Of(hash uint64) Slot { return Slot(hash >> (64 - k)) }

// NodeIndex is a node's place in the table. It is kept as long as the node is listed.
type NodeIndex uint16

// NoNode stands where a slot has no replica. So a table lists at most 65,535 nodes.
const NoNode NodeIndex = 0xFFFF

// Status is a node's status as the table carries it. Values are on the wire: never renumber.
type Status uint8

const (
	StatusUp       Status = 1
	StatusSuspect  Status = 2
	StatusDown     Status = 3
	StatusDraining Status = 4
)

var statusNames = map[Status]string{
	StatusUp: "up", StatusSuspect: "suspect", StatusDown: "down", StatusDraining: "draining",
}

func (s Status) String() string {
	if name, known := statusNames[s]; known {
		return name
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Node is one entry of the table's node list; an empty ID marks a free index.
type Node struct {
	ID      api.NodeID
	Address string
	Status  Status
}

// Table maps slots to replicas at one version. It is immutable once published: readers share it
// without locks.
type Table struct {
	Cluster  api.ClusterID
	Version  api.Version
	Previous uint64 // number of the version before
	Bits     Bits
	Replicas int // R: replicas listed per slot
	Hash     HashID
	Nodes    []Node      // by NodeIndex
	Epochs   []Epoch     // by Slot
	Owners   []NodeIndex // R for each Slot, primary first, NoNode behind the last
}

// NewTable makes a table without nodes: every slot unassigned at epoch 0.
func NewTable(cluster api.ClusterID, k Bits, replicas int) *Table {
	table := &Table{
		Cluster:  cluster,
		Bits:     k,
		Replicas: replicas,
		Hash:     HashSipHash24,
		Epochs:   make([]Epoch, k.Slots()),
		Owners:   make([]NodeIndex, k.Slots()*replicas),
	}
	for i := range table.Owners {
		table.Owners[i] = NoNode
	}
	return table
}

// Blank reports whether the table is of a cluster that no node ever was in: there is nothing to go by in it.
func (t *Table) Blank() bool {
	return !slices.ContainsFunc(t.Nodes, func(n Node) bool { return n.ID != "" }) &&
		!slices.ContainsFunc(t.Epochs, func(e Epoch) bool { return e != 0 })
}

// Primary is the node that serves the slot, NoNode if none does.
func (t *Table) Primary(slot Slot) NodeIndex { return t.Owners[int(slot)*t.Replicas] }

// ReplicasOf lists the slot's R places, primary first; places without a replica hold NoNode.
func (t *Table) ReplicasOf(slot Slot) []NodeIndex {
	first := int(slot) * t.Replicas
	return t.Owners[first : first+t.Replicas : first+t.Replicas]
}

// Node returns the entry at an index; ok is false for NoNode and for free indexes.
func (t *Table) Node(index NodeIndex) (node Node, ok bool) {
	if int(index) >= len(t.Nodes) || t.Nodes[index].ID == "" {
		return Node{}, false
	}
	return t.Nodes[index], true
}

// IndexOf finds a node by id, NoNode if it is not listed.
func (t *Table) IndexOf(id api.NodeID) NodeIndex {
	for i, node := range t.Nodes {
		if node.ID == id && id != "" {
			return NodeIndex(i)
		}
	}
	return NoNode
}
