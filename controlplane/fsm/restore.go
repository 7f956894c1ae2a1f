package fsm

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stead-io/stead/api/ring"
)

// state rebuilds the state that a snapshot document describes, and checks its invariants.
func (doc *snapshotDocument) state() (*State, error) {
	state := &State{
		Cluster: doc.Cluster, Generation: doc.Generation, Number: doc.Number, Index: doc.Index,
		Level: doc.Level, Clock: doc.Clock, Settings: doc.Settings, Members: doc.Members, Enlisted: doc.Enlisted,
		lastID: doc.LastChange, pending: doc.Pending,
		forgotten: doc.Forgotten, deliveries: doc.Deliveries, removed: doc.Removed,
		slotsIndex: doc.SlotsIndex, planIndex: doc.PlanIndex,
	}
	for _, result := range doc.Results {
		if result == nil {
			return nil, errors.New("an empty result")
		}
		state.results = state.results.push(result)
	}
	if doc.Cluster == "" {
		return state, nil
	}
	if problem := doc.Settings.Validate(); problem != nil {
		return nil, problem
	}
	if err := doc.restoreNodes(state); err != nil {
		return nil, err
	}
	if err := doc.restoreSlots(state); err != nil {
		return nil, err
	}
	if err := doc.restoreHistory(state); err != nil {
		return nil, err
	}
	return state, state.Check()
}

func (doc *snapshotDocument) restoreNodes(state *State) error {
	if doc.NodeSpan < 0 || doc.NodeSpan > int(ring.NoNode) {
		return fmt.Errorf("%d node indexes", doc.NodeSpan)
	}
	state.nodes = make([]*Node, doc.NodeSpan)
	for _, node := range doc.Nodes {
		if node == nil || int(node.Index) >= len(state.nodes) || state.nodes[node.Index] != nil {
			return errors.New("a node has no index of its own")
		}
		state.nodes[node.Index] = node
		state.byID = append(state.byID, uint16(node.Index)) // the document lists them by id; Check makes sure
		state.awaited += countIf(node.Awaited)
	}
	return nil
}

func (doc *snapshotDocument) restoreSlots(state *State) error {
	count := 1 << doc.Settings.SlotBits
	if len(doc.Slots) != count {
		return fmt.Errorf("%d slots, not %d", len(doc.Slots), count)
	}
	state.slots = newSlotTable(count)
	size := count / chunkCount
	for i, slot := range doc.Slots {
		state.slots.chunks[i/size][i%size] = slot
		state.recovering += countIf(slot.Recovering())
	}
	return nil
}

func (doc *snapshotDocument) restoreHistory(state *State) error {
	pool, err := doc.chunkPool()
	if err != nil {
		return err
	}
	if state.want, err = doc.wantTable(doc.Want, pool); err != nil {
		return err
	}
	for _, recorded := range doc.Changes {
		change := recorded.Change
		if len(recorded.Want.Chunks) > 0 {
			if change.want, err = doc.wantTable(recorded.Want, pool); err != nil {
				return err
			}
		}
		state.changes = append(state.changes, &change)
	}
	for _, recorded := range doc.Versions {
		record, err := recorded.record(doc.Settings.Replicas, len(doc.Slots), doc.NodeSpan)
		if err != nil {
			return err
		}
		state.versions = state.versions.push(record)
		state.history += record.size()
	}
	return nil
}

func (doc *snapshotDocument) chunkPool() ([][]ring.NodeIndex, error) {
	size := len(doc.Slots) / chunkCount * doc.Settings.Replicas
	pool := make([][]ring.NodeIndex, len(doc.Chunks))
	for i, text := range doc.Chunks {
		packed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		if pool[i], err = unpackWant(packed, size); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

func (doc *snapshotDocument) wantTable(want wantDocument, pool [][]ring.NodeIndex) (wantTable, error) {
	table := wantTable{replicas: doc.Settings.Replicas, names: want.Names}
	if len(want.Chunks) != chunkCount {
		return table, fmt.Errorf("a want of %d chunks", len(want.Chunks))
	}
	for i, place := range want.Chunks {
		if place < 0 || place >= len(pool) {
			return table, fmt.Errorf("a want names chunk %d", place)
		}
		table.chunks[i] = pool[place]
	}
	return table, nil
}

func (doc *versionDocument) record(replicas, slots, nodeSpan int) (*versionRecord, error) {
	rows, err := base64.StdEncoding.DecodeString(doc.Slots)
	width := 2 + 8 + 2*replicas
	if err != nil || len(rows)%width != 0 {
		return nil, fmt.Errorf("version %d has damaged slots", doc.Number)
	}
	record := &versionRecord{
		Number: doc.Number, Time: doc.Time, Change: doc.Change, Cause: doc.Cause, Settings: doc.Settings,
		Before: ring.Delta{Nodes: doc.Nodes},
	}
	for _, entry := range doc.Nodes {
		if int(entry.Index) >= nodeSpan {
			return nil, fmt.Errorf("version %d names index %d", doc.Number, entry.Index)
		}
	}
	for ; len(rows) > 0; rows = rows[width:] {
		slot := binary.BigEndian.Uint16(rows)
		if int(slot) >= slots {
			return nil, fmt.Errorf("version %d names slot %d", doc.Number, slot)
		}
		owners, err := unpackWant(rows[10:width], replicas)
		if err != nil {
			return nil, err
		}
		record.Before.Slots = append(record.Before.Slots, ring.Slot(slot))
		record.Before.Epochs = append(record.Before.Epochs, ring.Epoch(binary.BigEndian.Uint64(rows[2:])))
		record.Before.Owners = append(record.Before.Owners, owners...)
	}
	return record, nil
}
