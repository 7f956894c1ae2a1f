package fsm

import (
	"encoding/binary"
	"fmt"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// SlotKind says what last changed a slot's configuration. Values are in snapshots: never renumber.
type SlotKind uint8

const (
	KindNone   SlotKind = 0 // unassigned since the beginning
	KindFlip   SlotKind = 1 // state none: given to another node at once
	KindVacate SlotKind = 2 // its node was removed
	KindReport SlotKind = 3 // restored, or as a store reported after that
	KindAssign SlotKind = 4 // given to the nodes that were wanted, which begin with nothing
	// From 10 on they are those of package ownership.
)

// String is what the API calls the kind; "" for what the control plane does by itself with state none.
func (k SlotKind) String() string {
	switch k {
	case KindAssign:
		return "assign"
	case KindVacate:
		return "vacate"
	case KindReport:
		return "report"
	default:
		return ownership.Kind(k).String()
	}
}

// Replica is one member of an in-sync set: a node together with its store, since a node that lost its
// store is another replica.
type Replica struct {
	Node  ring.NodeIndex `json:"node"`
	Store api.StoreID    `json:"store,omitempty"`
}

// Slot is a slot's configuration; its wanted replicas stand in the want table.
type Slot struct {
	Epoch    ring.Epoch     `json:"epoch"`
	Primary  ring.NodeIndex `json:"primary"`
	ISR      []Replica      `json:"isr,omitempty"`
	Kind     SlotKind       `json:"kind,omitempty"`
	Proposer api.NodeID     `json:"proposer,omitempty"` // of the last change; "" is the control plane
	Proposal uint64         `json:"proposal,omitempty"`
	// Awaits is the node whose report the slot waits for; nobody serves it meanwhile. "": none. "*": every
	// listed node that is awaited (managed clusters).
	Awaits api.NodeID `json:"awaits,omitempty"`
	// Known is the highest epoch of an earlier generation that the configuration stands on.
	Known ring.Epoch `json:"known,omitempty"`

	// Updated is the log index at which it, or what is wanted of it, last changed. This and what follows is
	// of managed clusters only.
	Updated uint64 `json:"updated,omitempty"`
	// WantedBy is the change that last set its want, 0 if none did.
	WantedBy api.ChangeID `json:"wanted_by,omitempty"`
	// Claim is the in-sync set that the slot will have, the primary first, once nobody is awaited. It
	// names nodes by id: not all of them need be listed.
	Claim []api.Replica `json:"claim,omitempty"`
}

// Recovering reports whether the slot waits for stores' reports.
func (s Slot) Recovering() bool { return s.Awaits != "" }

// replicas is the slot's row in the ring table: the primary, then the others in sync; nobody while
// it recovers.
func (s Slot) replicas(most int) []ring.NodeIndex {
	row := make([]ring.NodeIndex, 1, most)
	row[0] = s.Primary
	if s.Recovering() {
		row[0], s.ISR = ring.NoNode, nil
	}
	for _, replica := range s.ISR {
		if replica.Node != s.Primary && len(row) < most {
			row = append(row, replica.Node)
		}
	}
	for len(row) < most {
		row = append(row, ring.NoNode)
	}
	return row
}

// The table is cut into chunks that are copied when written, so that a state shares with its
// predecessor whatever a command did not touch.
const chunkCount = 64

type slotTable struct {
	chunks [chunkCount][]Slot
}

func newSlotTable(count int) slotTable {
	var table slotTable
	for c := range table.chunks {
		table.chunks[c] = make([]Slot, count/chunkCount)
		for i := range table.chunks[c] {
			table.chunks[c][i].Primary = ring.NoNode
		}
	}
	return table
}

func (t *slotTable) count() int { return len(t.chunks[0]) * chunkCount }

func (t *slotTable) at(slot ring.Slot) Slot {
	size := len(t.chunks[0])
	return t.chunks[int(slot)/size][int(slot)%size]
}

// wantTable holds the wanted replicas of every slot, R indexes each. Chunks are never written in
// place: changes keep the table they led to.
type wantTable struct {
	replicas int
	chunks   [chunkCount][]ring.NodeIndex
	// names spells the indexes out: a removed node's index is given to another one day.
	names []api.NodeID
}

func newWantTable(count, replicas int) wantTable {
	table := wantTable{replicas: replicas}
	for c := range table.chunks {
		row := make([]ring.NodeIndex, count/chunkCount*replicas)
		for i := range row {
			row[i] = ring.NoNode
		}
		table.chunks[c] = row
	}
	return table
}

func (t *wantTable) row(slot ring.Slot) []ring.NodeIndex {
	size := len(t.chunks[0]) / t.replicas
	first := int(slot) % size * t.replicas
	return t.chunks[int(slot)/size][first : first+t.replicas]
}

// replace returns the table with all rows new; chunks that stay the same are shared.
func (t *wantTable) replace(rows []ring.NodeIndex, names []api.NodeID) wantTable {
	next := wantTable{replicas: t.replicas, names: names}
	size := len(t.chunks[0])
	for c := range next.chunks {
		fresh := rows[c*size : (c+1)*size]
		if equalIndexes(t.chunks[c], fresh) {
			next.chunks[c] = t.chunks[c]
		} else {
			next.chunks[c] = append([]ring.NodeIndex(nil), fresh...)
		}
	}
	return next
}

func equalIndexes(a, b []ring.NodeIndex) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// ids spells out the wanted replicas of every slot.
func (t *wantTable) ids() [][]api.NodeID {
	if t.replicas == 0 {
		return nil
	}
	count := len(t.chunks[0]) * chunkCount / t.replicas
	rows := make([][]api.NodeID, count)
	for slot := range rows {
		rows[slot] = []api.NodeID{}
		for _, index := range t.row(ring.Slot(slot)) {
			if index != ring.NoNode && int(index) < len(t.names) {
				rows[slot] = append(rows[slot], t.names[index])
			}
		}
	}
	return rows
}

// PackWant writes rows of node indexes as the Want command carries them.
func PackWant(rows []ring.NodeIndex) []byte {
	packed := make([]byte, 0, 2*len(rows))
	for _, index := range rows {
		packed = binary.BigEndian.AppendUint16(packed, uint16(index))
	}
	return packed
}

func unpackWant(packed []byte, count int) ([]ring.NodeIndex, error) {
	if len(packed) != 2*count {
		return nil, fmt.Errorf("the want has %d octets, not %d", len(packed), 2*count)
	}
	rows := make([]ring.NodeIndex, count)
	for i := range rows {
		rows[i] = ring.NodeIndex(binary.BigEndian.Uint16(packed[2*i:]))
	}
	return rows, nil
}
