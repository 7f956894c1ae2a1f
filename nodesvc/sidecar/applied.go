package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/api/ownership"
)

// appliedFile keeps how far in its log each slot is. Slots whose state was never restored by an operator are
// at 0 and not listed.
type appliedFile struct {
	path  string // "": nothing outlives the process
	slots map[api.Slot]ownership.Seq
}

func openApplied(path string) (*appliedFile, error) {
	a := &appliedFile{path: path, slots: make(map[api.Slot]ownership.Seq)}
	if path == "" {
		return a, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &a.slots)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return a, nil
}

func (a *appliedFile) of(slot api.Slot) ownership.Seq { return a.slots[slot] }

func (a *appliedFile) set(slot api.Slot, seq ownership.Seq) error {
	if a.slots[slot] == seq {
		return nil
	}
	next := maps.Clone(a.slots)
	next[slot] = seq
	if seq == 0 {
		delete(next, slot)
	}
	if a.path != "" {
		content, err := json.Marshal(next)
		if err == nil {
			err = durable.WriteFile(a.path, content)
		}
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", a.path, err)
		}
	}
	a.slots = next
	return nil
}
