package kv

import (
	"context"
	"errors"
	"log/slog"
)

// ErrAbsent says that there is no entry at a place.
var ErrAbsent = errors.New("there is no such entry")

// Place is where an entry lives: its sharding key with its hash, and its name.
type Place struct {
	Hash uint64 // of Key, on the ring's circle
	Key  []byte // 1 to 1024 octets
	Name []byte // 1 to 1024 octets
}

// Entry is what is stored at a place.
type Entry struct {
	Version     Version
	ContentType string // at most 255 octets
	Value       []byte
}

// Store keeps entries. Calls for the same place do not overlap, but for reads with reads: the server
// locks places. A write that returned nil survives a crash, if the store is of the kind that does.
type Store interface {
	// Get returns the entry, which the caller may keep but not change, or ErrAbsent.
	Get(Place) (Entry, error)
	// VersionAt returns the version of the entry, or ErrAbsent.
	VersionAt(Place) (Version, error)
	// Put stores the entry in place of what was there. The store may keep the value.
	Put(Place, Entry) error
	// Delete removes the entry; deleting nothing is not an error.
	Delete(Place) error
	// Probe reports whether a small write succeeds now.
	Probe(context.Context) error
	// Failed is closed when the store can no longer be trusted; Err then says why.
	Failed() <-chan struct{}
	// Err is why the store failed, nil while it has not.
	Err() error
	// Close ends the store. No call may be under way.
	Close() error
}

// openStore opens the store of the kind the config asks for.
func openStore(config Config, logger *slog.Logger) (Store, error) {
	if config.Store == StoreMemory {
		return newMemory(), nil
	}
	return openDisk(config.folder(), nil, logger)
}
