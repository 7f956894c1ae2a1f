package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/stead-io/stead/api"
)

// rooms is the state: for each slot the sums of its rooms. The node replicates it.
type rooms struct {
	mu   sync.Mutex
	sums map[api.Slot]map[string]int64
}

// added is a record: what one request did.
type added struct {
	Room   string `json:"room"`
	Number int64  `json:"number"`
}

func newRooms() *rooms { return &rooms{sums: make(map[api.Slot]map[string]int64)} }

// sum of a room as it is now.
func (r *rooms) sum(slot api.Slot, room string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums[slot][room]
}

// Apply adds, on every replica, and returns the new sum to the request.
func (r *rooms) Apply(slot api.Slot, record []byte) (any, error) {
	var add added
	if err := json.Unmarshal(record, &add); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sums[slot] == nil {
		r.sums[slot] = make(map[string]int64)
	}
	r.sums[slot][add.Room] += add.Number
	return r.sums[slot][add.Room], nil
}

// Snapshot writes a slot's sums as JSON, which has its keys in order: equal states are equal octets.
func (r *rooms) Snapshot(slot api.Slot, w io.Writer) error {
	r.mu.Lock()
	text, err := json.Marshal(r.sums[slot])
	r.mu.Unlock()
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// Restore reads what Snapshot wrote.
func (r *rooms) Restore(slot api.Slot, in io.Reader) error {
	sums, err := readSums(in)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sums[slot] = sums; err != nil {
		delete(r.sums, slot)
	}
	return err
}

// Check says why Restore would refuse a state, before the one that it would replace is given up.
func (r *rooms) Check(_ api.Slot, in io.Reader) error {
	_, err := readSums(in)
	return err
}

// readSums reads a state, and nothing behind it.
func readSums(in io.Reader) (sums map[string]int64, err error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &sums); err != nil {
		return nil, fmt.Errorf("not the sums of a slot: %w", err)
	}
	return sums, nil
}

// Drop forgets a slot that has moved away.
func (r *rooms) Drop(slot api.Slot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sums, slot)
	return nil
}
