package kv

import (
	"context"
	"sync"
)

// memory is the store of --store=memory: it is gone with its process.
type memory struct {
	*failure // never set

	mu      sync.RWMutex
	entries map[string]Entry // by encoded place
}

func newMemory() *memory {
	return &memory{failure: newFailure(), entries: make(map[string]Entry)}
}

func (m *memory) Get(at Place) (Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	entry, found := m.entries[string(appendPlace(nil, at))]
	if !found {
		return Entry{}, ErrAbsent
	}
	return entry, nil
}

func (m *memory) VersionAt(at Place) (Version, error) {
	entry, err := m.Get(at)
	return entry.Version, err
}

func (m *memory) Put(at Place, entry Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[string(appendPlace(nil, at))] = entry
	return nil
}

func (m *memory) Delete(at Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, string(appendPlace(nil, at)))
	return nil
}

func (m *memory) Probe(context.Context) error { return nil }

func (m *memory) Close() error { return nil }
