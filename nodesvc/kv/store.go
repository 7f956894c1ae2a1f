package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc"
)

// ErrAbsent says that there is no entry at a place.
var ErrAbsent = errors.New("there is no such entry")

// store keeps the slots' entries and the answers given under idempotency keys. It is the service that the
// SDK replicates: writes come as records, in order, through ApplyAt; reads go beside them.
//
// It keeps its state in Pebble, a log-structured merge tree; of a memory store its files are in memory. It
// does not survive a failed write or sync: the kernel may have dropped the pages, so what the engine holds
// in memory is no longer what is on disk. From then on every call fails, and the process is to end.
type store struct {
	*failure
	db      *pebble.DB
	lock    *pebble.Lock         // of the folder; nil for memory
	durably *pebble.WriteOptions // how to write what must survive
}

// openStore opens or makes the store of the kind the config asks for.
func openStore(config Config, logger *slog.Logger) (*store, error) {
	if config.Store == StoreMemory {
		return openMemory(logger)
	}
	return openDisk(config.folder(), vfs.Default, logger)
}

// Get returns the entry at a place, which is the caller's, or ErrAbsent.
func (s *store) Get(at Place) (entry Entry, err error) {
	defer s.contain(&err)
	raw, err := s.raw(entryKey(at))
	if err != nil {
		return entry, err
	}
	if entry, err = readEntry(raw); err != nil {
		return entry, s.lost("read entry", err)
	}
	return entry, nil
}

// raw reads a record of the store, or ErrAbsent.
func (s *store) raw(key []byte) ([]byte, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	found, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, s.lost("read", err)
	}
	return bytes.Clone(found), closer.Close()
}

func (s *store) head(slot api.Slot) (h head, err error) {
	raw, err := s.raw(headKey(slot))
	if errors.Is(err, ErrAbsent) {
		return head{}, nil
	}
	if err != nil {
		return head{}, err
	}
	if h, err = readHead(raw); err != nil {
		return head{}, s.lost("read slot", err)
	}
	return h, nil
}

// Apply is ApplyAt behind the record applied last.
func (s *store) Apply(slot api.Slot, raw []byte) (any, error) {
	seq, err := s.Applied(slot)
	if err != nil {
		return nil, err
	}
	return s.ApplyAt(slot, seq+1, raw)
}

// ApplyAt carries a record out and returns its answer.
func (s *store) ApplyAt(slot api.Slot, seq ownership.Seq, raw []byte) (_ any, err error) {
	defer s.contain(&err)
	r, err := readRecord(raw)
	if err != nil {
		return nil, s.lost(fmt.Sprintf("apply record %d of slot %d", seq, slot), err)
	}
	r.at.Slot = slot
	given := written{outcome: r.outcome, version: r.entry.Version}
	return given, s.write(pebble.NoSync, func(batch *pebble.Batch) error {
		h, err := s.head(slot)
		if err != nil {
			return err
		}
		h.applied, h.clock = seq, max(h.clock, r.time)
		if err := s.forget(batch, slot, &h); err != nil {
			return err
		}
		if r.idempotency != "" {
			if err := remember(batch, slot, &h, r, given); err != nil {
				return err
			}
		}
		return errors.Join(change(batch, r), batch.Set(headKey(slot), h.append(nil), nil))
	})
}

// change is what a record does to its entry.
func change(batch *pebble.Batch, r record) error {
	key := entryKey(r.at)
	if r.outcome == deleted {
		return batch.Delete(key, nil)
	}
	front := appendEntryHead(nil, r.entry)
	deferred := batch.SetDeferred(len(key), len(front)+len(r.entry.Value))
	copy(deferred.Key, key)
	copy(deferred.Value[copy(deferred.Value, front):], r.entry.Value)
	return deferred.Finish()
}

// Applied is the record that the slot's state is as of.
func (s *store) Applied(slot api.Slot) (seq ownership.Seq, err error) {
	defer s.contain(&err)
	h, err := s.head(slot)
	return h.applied, err
}

// Drop removes all there is of the slot, durably: its state must not come back.
func (s *store) Drop(slot api.Slot) (err error) {
	defer s.contain(&err)
	return s.write(s.durably, func(batch *pebble.Batch) error { return erase(batch, slot) })
}

func erase(batch *pebble.Batch, slot api.Slot) error {
	from, to := slotRange(slot)
	return batch.DeleteRange(from, to, nil)
}

// Sync makes all that was applied durable: the engine's log is written in order.
func (s *store) Sync() (err error) {
	defer s.contain(&err)
	if err := s.Err(); err != nil || !s.durably.Sync {
		return err // an engine that failed may have kept its locks
	}
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return s.lost("sync", err)
	}
	return s.Err()
}

// Probe reports whether a small write succeeds now.
func (s *store) Probe(context.Context) (err error) {
	defer s.contain(&err)
	return s.write(s.durably, func(batch *pebble.Batch) error { return batch.Set(probeKey, nil, nil) })
}

// write commits what fill puts in a batch.
func (s *store) write(options *pebble.WriteOptions, fill func(*pebble.Batch) error) error {
	if err := s.Err(); err != nil {
		return err
	}
	batch := s.db.NewBatch()
	return s.commit(batch, options, fill(batch))
}

// commit writes and closes a batch that was filled with or without an error. The engine reports some failures
// to its log alone, so the log is asked before a write counts.
func (s *store) commit(batch *pebble.Batch, options *pebble.WriteOptions, err error) error {
	if err == nil {
		err = batch.Commit(options)
	}
	err = errors.Join(err, batch.Close())
	if err != nil {
		return s.lost("write", err)
	}
	return s.Err()
}

// lost ends the store and tells the SDK so.
func (s *store) lost(doing string, err error) error {
	if !errors.Is(err, nodesvc.ErrBroken) {
		err = fmt.Errorf("cannot %s: %w: %w", doing, err, nodesvc.ErrBroken)
	}
	s.set(err)
	return err
}

// contain turns a panic of the engine, which is how it reports some failed writes, into the end of
// the store: http.Server would swallow it and go on serving.
func (s *store) contain(err *error) {
	if cause := recover(); cause != nil {
		*err = s.lost("use store", fmt.Errorf("%v", cause))
	}
}

// Close leaves a failed store as it is: whoever opens it next recovers what was made durable.
func (s *store) Close() error {
	if s.Err() != nil {
		return nil
	}
	err := s.db.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("cannot close store: %w", err)
	}
	return nil
}
