package ring

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
)

var (
	// ErrFrom says that a delta does not start at the table's version.
	ErrFrom = errors.New("the delta starts at another version")
	// ErrDigest says that what came out is not the table that was meant. The full ring settles it.
	ErrDigest = errors.New("the table's digest does not match")
)

// NodeEntry is what stands at one index of the node list; an empty ID marks it free.
type NodeEntry struct {
	Index NodeIndex
	Node  Node
}

// Delta is what changed between two versions of a table, kept compact: R owners for each slot listed.
type Delta struct {
	Cluster  api.ClusterID
	From, To api.Version
	Previous uint64      // of the resulting table
	Nodes    []NodeEntry // by ascending index
	Slots    []Slot      // ascending
	Epochs   []Epoch     // one for each of Slots
	Owners   []NodeIndex // R for each of Slots
	Digest   Digest      // of the resulting table
}

// Between finds the delta from one table to another of the same cluster, k and hash, which are fixed
// when a cluster is made. If R differs, it lists every slot.
func Between(from, to *Table) *Delta {
	delta := &Delta{
		Cluster:  to.Cluster,
		From:     from.Version,
		To:       to.Version,
		Previous: to.Previous,
		Digest:   to.Digest(),
	}
	for i := range max(len(from.Nodes), len(to.Nodes)) {
		before, _ := from.Node(NodeIndex(i))
		after, _ := to.Node(NodeIndex(i))
		if before != after {
			delta.Nodes = append(delta.Nodes, NodeEntry{Index: NodeIndex(i), Node: after})
		}
	}
	for i, epoch := range to.Epochs {
		slot := Slot(i)
		if epoch != from.Epochs[i] || !slices.Equal(from.ReplicasOf(slot), to.ReplicasOf(slot)) {
			delta.Slots = append(delta.Slots, slot)
			delta.Epochs = append(delta.Epochs, epoch)
			delta.Owners = append(delta.Owners, to.ReplicasOf(slot)...)
		}
	}
	return delta
}

// Size is the memory the delta holds, in bytes, for whoever keeps many.
func (d *Delta) Size() int {
	const fixed, perNode, perSlot, perOwner = 200, 48, 2 + 8, 2
	size := fixed + cap(d.Nodes)*perNode + cap(d.Slots)*perSlot + cap(d.Owners)*perOwner
	for _, entry := range d.Nodes {
		size += len(entry.Node.ID) + len(entry.Node.Address)
	}
	return size
}

// Apply makes the next table; the one given is left as it is. The error is ErrFrom when the delta
// starts at another version or cluster, ErrDigest or ErrInvalid when the result is not the table
// that was meant; the full ring helps against each.
func (d *Delta) Apply(table *Table) (*Table, error) {
	if d.Cluster != table.Cluster || d.From != table.Version {
		return nil, fmt.Errorf("cannot apply delta from %s to %s: %w", d.From, table.Version, ErrFrom)
	}
	next, err := d.patch(table)
	if err == nil && next.Digest() != d.Digest {
		err = ErrDigest
	}
	if err != nil {
		return nil, fmt.Errorf("cannot apply delta to %s: %w", d.To, err)
	}
	return next, nil
}

// patch makes the next table, valid but perhaps not the one that was meant.
func (d *Delta) patch(table *Table) (*Table, error) {
	next := table.Clone()
	next.Version, next.Previous = d.To, d.Previous
	next.applyNodes(d.Nodes)
	if err := next.applySlots(d); err != nil {
		return nil, err
	}
	return next, next.Validate()
}

// applyNodes sets entries and drops free indexes from the end, as decoding a table does.
func (t *Table) applyNodes(entries []NodeEntry) {
	for _, entry := range entries {
		if missing := int(entry.Index) + 1 - len(t.Nodes); missing > 0 {
			t.Nodes = append(t.Nodes, make([]Node, missing)...)
		}
		t.Nodes[entry.Index] = entry.Node
	}
	for last := len(t.Nodes) - 1; last >= 0 && t.Nodes[last].ID == ""; last-- {
		t.Nodes = t.Nodes[:last]
	}
}

func (t *Table) applySlots(d *Delta) error {
	if len(d.Slots) == 0 {
		return nil
	}
	replicas := len(d.Owners) / len(d.Slots)
	if len(d.Epochs) != len(d.Slots) || len(d.Owners) != len(d.Slots)*replicas {
		return invalid("%d slots with %d epochs and %d owners", len(d.Slots), len(d.Epochs), len(d.Owners))
	}
	if replicas != t.Replicas {
		if len(d.Slots) != len(t.Epochs) {
			return invalid("R changes from %d to %d for %d of %d slots", t.Replicas, replicas, len(d.Slots), len(t.Epochs))
		}
		t.Replicas, t.Owners = replicas, make([]NodeIndex, len(t.Epochs)*replicas)
	}
	for i, slot := range d.Slots {
		if int(slot) >= len(t.Epochs) {
			return invalid("slot %d is not one of %d", slot, len(t.Epochs))
		}
		t.Epochs[slot] = d.Epochs[i]
		copy(t.ReplicasOf(slot), d.Owners[i*replicas:(i+1)*replicas])
	}
	return nil
}

// Wire is the delta as it travels; settings go along when they changed, nil when they did not.
func (d *Delta) Wire(settings *api.Settings) *api.RingDelta {
	wire := &api.RingDelta{
		Cluster:  d.Cluster,
		From:     d.From,
		To:       d.To,
		Previous: d.Previous,
		Digest:   d.Digest.String(),
		Settings: settings,
		Nodes:    make([]api.RingNode, 0, len(d.Nodes)),
		Slots:    make([][]uint64, 0, len(d.Slots)),
	}
	for _, entry := range d.Nodes {
		wire.Nodes = append(wire.Nodes, wireNode(entry.Index, entry.Node))
	}
	for i, slot := range d.Slots {
		replicas := len(d.Owners) / len(d.Slots)
		numbers := append(make([]uint64, 0, 2+replicas), uint64(slot), uint64(d.Epochs[i]))
		wire.Slots = append(wire.Slots, appendReplicas(numbers, d.Owners[i*replicas:(i+1)*replicas]))
	}
	return wire
}

// DeltaFromWire reads a delta for a ring of R replicas. Indexes and slots must be ascending.
func DeltaFromWire(wire *api.RingDelta, replicas int) (*Delta, error) {
	delta, err := deltaFromWire(wire, replicas)
	if err != nil {
		return nil, fmt.Errorf("cannot read delta: %w", err)
	}
	return delta, nil
}

func deltaFromWire(wire *api.RingDelta, replicas int) (*Delta, error) {
	digest, err := parseDigest(wire.Digest)
	if err != nil {
		return nil, err
	}
	if replicas < 1 || replicas > api.ReplicasMax {
		return nil, invalid("R is %d, not 1 to %d", replicas, api.ReplicasMax)
	}
	delta := &Delta{
		Cluster: wire.Cluster, From: wire.From, To: wire.To, Previous: wire.Previous, Digest: digest,
		Slots:  make([]Slot, 0, len(wire.Slots)),
		Epochs: make([]Epoch, 0, len(wire.Slots)),
		Owners: make([]NodeIndex, len(wire.Slots)*replicas),
	}
	for i, entry := range wire.Nodes {
		index, node, err := readNode(entry)
		if err != nil {
			return nil, err
		}
		if i > 0 && index <= delta.Nodes[i-1].Index {
			return nil, invalid("node index %d is out of order", index)
		}
		delta.Nodes = append(delta.Nodes, NodeEntry{Index: index, Node: node})
	}
	for i, numbers := range wire.Slots {
		if len(numbers) < 2 || numbers[0] >= 1<<api.SlotBitsMax || i > 0 && numbers[0] <= uint64(delta.Slots[i-1]) {
			return nil, invalid("slot entry %d is too short or out of order", i)
		}
		delta.Slots = append(delta.Slots, Slot(numbers[0]))
		delta.Epochs = append(delta.Epochs, Epoch(numbers[1]))
		if err := readReplicas(delta.Owners[i*replicas:(i+1)*replicas], numbers[2:]); err != nil {
			return nil, fmt.Errorf("slot %d: %w", numbers[0], err)
		}
	}
	return delta, nil
}

// Apply makes the next view from a delta off the wire; the errors are those of Delta.Apply.
func (v *View) Apply(wire *api.RingDelta) (*View, error) {
	settings := v.Settings
	if wire.Settings != nil {
		settings = *wire.Settings
	}
	delta, err := DeltaFromWire(wire, settings.Replicas)
	if err != nil {
		return nil, err
	}
	table, err := delta.Apply(v.Table)
	if err != nil {
		return nil, err
	}
	return newView(settings, table)
}
