package simulation

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/stead-io/stead/api"
)

// change is a record: it is carried out wherever it is applied.
type change struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Size  int    `json:"size,omitempty"`
	Fill  string `json:"fill,omitempty"` // makes the record as large as records are
}

// entries is the service: keys and values, by slot. applied counts the records of a slot's log.
type entries struct {
	mu    sync.Mutex
	slots map[api.Slot]*table
}

type table struct {
	Applied uint64            `json:"applied"`
	Values  map[string]string `json:"values"`
}

func newEntries() *entries { return &entries{slots: make(map[api.Slot]*table)} }

func (e *entries) table(slot api.Slot) *table {
	t := e.slots[slot]
	if t == nil {
		t = &table{Values: make(map[string]string)}
		e.slots[slot] = t
	}
	return t
}

// Apply implements replication.Service. It returns the number of the record.
func (e *entries) Apply(slot api.Slot, record []byte) (any, error) {
	var is change
	if err := json.Unmarshal(record, &is); err != nil {
		return nil, fmt.Errorf("cannot read record: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.table(slot)
	t.Applied++
	if t.Values[is.Key] = is.Value; is.Value == "" {
		delete(t.Values, is.Key)
	}
	return t.Applied, nil
}

func (e *entries) get(slot api.Slot, key string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table(slot).Values[key]
}

// Snapshot implements replication.Service.
func (e *entries) Snapshot(slot api.Slot, w io.Writer) error {
	e.mu.Lock()
	text, err := json.Marshal(e.table(slot)) // with keys in order
	e.mu.Unlock()
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// Restore implements replication.Service.
func (e *entries) Restore(slot api.Slot, r io.Reader) error {
	restored := table{Values: make(map[string]string)}
	err := json.NewDecoder(r).Decode(&restored)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.slots, slot)
	if err == nil {
		e.slots[slot] = &restored
	}
	return err
}

// Drop implements replication.Service.
func (e *entries) Drop(slot api.Slot) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.slots, slot)
	return nil
}
