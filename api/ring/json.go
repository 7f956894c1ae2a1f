package ring

import (
	"fmt"

	"github.com/stead-io/stead/api"
)

// JSON writes the view out in full, for people and scripts.
func (v *View) JSON() api.RingJSON {
	return api.RingJSON{
		Cluster:  v.Table.Cluster,
		Version:  v.Table.Version,
		Previous: v.Table.Previous,
		Digest:   v.Table.Digest().String(),
		Settings: v.Settings,
		Nodes:    wireNodes(v.Table.Nodes),
		Slots:    v.Table.wireSlots(),
	}
}

// wireNodes lists the nodes that are listed, by index.
func wireNodes(nodes []Node) []api.RingNode {
	out := make([]api.RingNode, 0, len(nodes))
	for i, node := range nodes {
		if node.ID != "" {
			out = append(out, wireNode(NodeIndex(i), node))
		}
	}
	return out
}

// wireNode is one node in JSON; a free index travels as an empty id without a status.
func wireNode(index NodeIndex, node Node) api.RingNode {
	wire := api.RingNode{Index: int(index), ID: node.ID, Address: node.Address}
	if node.ID != "" {
		wire.Status = node.Status.String()
	}
	return wire
}

// wireSlots writes [epoch, node index, …] for each slot.
func (t *Table) wireSlots() [][]uint64 {
	slots := make([][]uint64, len(t.Epochs))
	numbers := make([]uint64, 0, len(t.Epochs)+len(t.Owners))
	for slot, epoch := range t.Epochs {
		first := len(numbers)
		numbers = append(numbers, uint64(epoch))
		numbers = appendReplicas(numbers, t.ReplicasOf(Slot(slot)))
		slots[slot] = numbers[first:len(numbers):len(numbers)]
	}
	return slots
}

// appendReplicas appends the replicas there are; empty places are left out.
func appendReplicas(numbers []uint64, replicas []NodeIndex) []uint64 {
	for _, index := range replicas {
		if index != NoNode {
			numbers = append(numbers, uint64(index))
		}
	}
	return numbers
}

// ViewFromJSON reads what JSON wrote and checks it as strictly as the binary form, digest included.
func ViewFromJSON(wire api.RingJSON) (*View, error) {
	view, err := viewFromJSON(wire)
	if err != nil {
		return nil, fmt.Errorf("cannot read ring: %w", err)
	}
	return view, nil
}

func viewFromJSON(wire api.RingJSON) (*View, error) {
	table, err := tableFromJSON(wire)
	if err != nil {
		return nil, err
	}
	digest, err := parseDigest(wire.Digest)
	if err != nil {
		return nil, err
	}
	if digest != table.Digest() {
		return nil, ErrDigest
	}
	return newView(wire.Settings, table)
}

func tableFromJSON(wire api.RingJSON) (*Table, error) {
	k, replicas := wire.Settings.SlotBits, wire.Settings.Replicas
	if k < 0 || k > api.SlotBitsMax {
		return nil, invalid("k is %d, not %d to %d", k, api.SlotBitsMin, api.SlotBitsMax)
	}
	if err := validateGeometry(Bits(k), replicas, HashSipHash24); err != nil {
		return nil, err
	}
	table := NewTable(wire.Cluster, Bits(k), replicas)
	table.Version, table.Previous = wire.Version, wire.Previous
	if err := table.readNodes(wire.Nodes); err != nil {
		return nil, err
	}
	if len(wire.Slots) != len(table.Epochs) {
		return nil, invalid("%d slots, not %d", len(wire.Slots), len(table.Epochs))
	}
	for slot, numbers := range wire.Slots {
		if len(numbers) == 0 {
			return nil, invalid("slot %d has no epoch", slot)
		}
		table.Epochs[slot] = Epoch(numbers[0])
		if err := readReplicas(table.ReplicasOf(Slot(slot)), numbers[1:]); err != nil {
			return nil, fmt.Errorf("slot %d: %w", slot, err)
		}
	}
	return table, table.Validate()
}

// readNodes fills the node list from entries by ascending index.
func (t *Table) readNodes(entries []api.RingNode) error {
	for _, entry := range entries {
		index, node, err := readNode(entry)
		if err != nil {
			return err
		}
		if node.ID == "" || int(index) < len(t.Nodes) {
			return invalid("node index %d is free or out of order", index)
		}
		t.Nodes = append(t.Nodes, make([]Node, int(index)-len(t.Nodes))...)
		t.Nodes = append(t.Nodes, node)
	}
	return nil
}

func readNode(wire api.RingNode) (NodeIndex, Node, error) {
	if wire.Index < 0 || wire.Index >= int(NoNode) {
		return NoNode, Node{}, invalid("node index %d is out of range", wire.Index)
	}
	index := NodeIndex(wire.Index)
	if wire.ID == "" {
		if wire.Address != "" || wire.Status != "" {
			return NoNode, Node{}, invalid("free index %d carries an address or a status", index)
		}
		return index, Node{}, nil
	}
	for status, name := range statusNames {
		if name == wire.Status {
			return index, Node{ID: wire.ID, Address: wire.Address, Status: status}, nil
		}
	}
	return NoNode, Node{}, invalid("node %d: status %q is not known", index, api.Clip(wire.Status))
}

// readReplicas fills a slot's R places from the node indexes on the wire.
func readReplicas(places []NodeIndex, indexes []uint64) error {
	if len(indexes) > len(places) {
		return invalid("%d replicas, at most %d", len(indexes), len(places))
	}
	for i := range places {
		places[i] = NoNode
	}
	for i, index := range indexes {
		if index >= uint64(NoNode) {
			return invalid("node index %d is out of range", index)
		}
		places[i] = NodeIndex(index)
	}
	return nil
}
