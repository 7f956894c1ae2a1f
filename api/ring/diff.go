package ring

import (
	"maps"
	"slices"

	"github.com/stead-io/stead/api"
)

// Diff says what differs between two versions of one cluster's table, in terms of node ids: an index
// may have been given to another node in between.
func Diff(from, to *Table) api.RingDiff {
	diff := api.RingDiff{From: from.Version, To: to.Version, Slots: []api.SlotDiff{}, Nodes: nodeDiffs(from, to)}
	renamed := renamedIndexes(from, to)
	for i := range to.Epochs {
		slot := Slot(i)
		if from.Epochs[i] == to.Epochs[i] && slices.Equal(from.ReplicasOf(slot), to.ReplicasOf(slot)) &&
			!slices.ContainsFunc(to.ReplicasOf(slot), func(index NodeIndex) bool { return renamed[index] }) {
			continue
		}
		before, after := from.owner(slot), to.owner(slot)
		if before.Epoch == after.Epoch && slices.Equal(before.Replicas, after.Replicas) {
			continue
		}
		diff.Slots = append(diff.Slots, api.SlotDiff{Slot: slot, Before: before, After: after})
		if primaryOf(before) != primaryOf(after) {
			diff.Moved++
		}
	}
	diff.Share = float64(diff.Moved) / float64(len(to.Epochs))
	return diff
}

// renamedIndexes are those that were given to another node.
func renamedIndexes(from, to *Table) map[NodeIndex]bool {
	renamed := map[NodeIndex]bool{}
	for i, node := range to.Nodes {
		index := NodeIndex(i)
		if before, _ := from.Node(index); before.ID != node.ID {
			renamed[index] = true
		}
	}
	return renamed
}

func (t *Table) owner(slot Slot) api.SlotOwner {
	owner := api.SlotOwner{Epoch: t.Epochs[slot], Replicas: make([]api.NodeID, 0, t.Replicas)}
	for _, index := range t.ReplicasOf(slot) {
		if node, listed := t.Node(index); listed {
			owner.Replicas = append(owner.Replicas, node.ID)
		}
	}
	return owner
}

func primaryOf(owner api.SlotOwner) api.NodeID {
	if len(owner.Replicas) == 0 {
		return ""
	}
	return owner.Replicas[0]
}

// nodeDiffs lists the nodes whose entry, or share as primary, differs.
func nodeDiffs(from, to *Table) []api.NodeDiff {
	before, after := from.shares(), to.shares()
	ids := slices.Collect(maps.Keys(before))
	for id := range after {
		if before[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	diffs := []api.NodeDiff{}
	for _, id := range ids {
		was, is := before[id], after[id]
		if was == nil || is == nil || *was != *is {
			diffs = append(diffs, api.NodeDiff{ID: id, Before: was, After: is})
		}
	}
	return diffs
}

// shares counts what each listed node has of the ring.
func (t *Table) shares() map[api.NodeID]*api.NodeShare {
	shares := make(map[api.NodeID]*api.NodeShare, len(t.Nodes))
	for _, node := range t.Nodes {
		if node.ID != "" {
			shares[node.ID] = &api.NodeShare{Address: node.Address, Status: node.Status.String()}
		}
	}
	for slot := range t.Epochs {
		if primary, listed := t.Node(t.Primary(Slot(slot))); listed {
			shares[primary.ID].Slots++
		}
	}
	return shares
}
