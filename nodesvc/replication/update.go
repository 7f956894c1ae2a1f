package replication

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// RecordSizeMax is the largest record, in bytes.
const RecordSizeMax = 16<<20 + 64<<10

// Kinds of records. They are in logs: never renumbered.
const (
	recordService uint8 = 0 // the service's own
	recordRestore uint8 = 1 // a piece of a state to be restored, see restore.go
)

// waiter is an update whose record is in the log.
type waiter struct {
	seq    seq
	result any
	err    error
	once   sync.Once
	done   chan struct{}
	free   func() // lets the next update of the key in
}

func (w *waiter) resolve(result any, err error) {
	w.once.Do(func() {
		w.result, w.err = result, err
		w.free() // first: whoever was told finds the key free
		close(w.done)
	})
}

// Update locks the key, lets propose make a record of what the state is now, and returns once the record is on
// the disks of the whole in-sync set and applied, with what Apply returned. A nil record changes nothing: the
// answer is then confirmed like a read's, and so is an error of propose. Other errors are *api.Problem; of
// draining, not_owner, slot_moving, not_confirmed, too_few_in_sync and storage_full nothing was appended.
//
// The key stays locked until the outcome is known, whatever the context does.
func (e *Engine) Update(ctx context.Context, number api.Slot, key []byte, propose func() ([]byte, error)) (any, error) {
	defer e.latencies.since(time.Now())
	s := e.slot(number)
	unlock, err := s.keys.lock(ctx, string(key))
	if err != nil {
		return nil, api.NewProblem(api.CodeSlotMoving, "another request of the key has not ended")
	}
	stay, err := s.enter(ctx)
	if err != nil {
		unlock()
		return nil, err
	}
	free := func() { stay.leave(); unlock() }
	record, err := guarded(propose, free)
	if err != nil || record == nil {
		defer free()
		return nil, s.settleRead(ctx, stay, err)
	}
	w, problem := s.record(stay, recordService, record, free)
	if problem != nil {
		free()
		return nil, problem
	}
	select {
	case <-w.done:
		e.count.updates.Add(1)
		return w.result, w.err
	case <-ctx.Done():
		return nil, outcomeUnknown()
	}
}

// guarded calls propose, and free if that panics: whoever recovers is not to leave the key locked.
func guarded(propose func() ([]byte, error), free func()) (record []byte, err error) {
	returned := false
	defer func() {
		if !returned {
			free()
		}
	}()
	record, err = propose()
	returned = true
	return record, err
}

// record appends a record for somebody inside the slot.
func (s *slot) record(stay *stay, kind uint8, record []byte, free func()) (*waiter, error) {
	if len(record) > RecordSizeMax {
		return nil, api.NewProblem(api.CodeTooLarge, "a record is at most %d bytes", RecordSizeMax)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if problem := s.mayRecord(stay); problem != nil {
		return nil, problem
	}
	w := &waiter{seq: s.last + 1, done: make(chan struct{}), free: free}
	s.waiting = append(s.waiting, w)
	s.extend(kind, record)
	return w, nil
}

// extend appends a record to the log of a primary. The slot is locked.
func (s *slot) extend(kind uint8, record []byte) {
	entry := slotlog.Entry{Seq: s.last + 1, Epoch: s.lead.epoch, Kind: kind, Record: record}
	entry.Digest = chain(s.tip, entry)
	s.append([]slotlog.Entry{entry})
	s.pump()
}

func (s *slot) mayRecord(stay *stay) error {
	switch {
	case s.engine.closes():
		return api.NewProblem(api.CodeDraining, "the node is leaving")
	case !stay.inside(s):
		return s.elsewhere()
	case s.lead.handover != nil && s.lead.handover.sealed:
		return api.NewProblem(api.CodeSlotMoving, "the slot is being handed over")
	case len(s.config.ISR) < s.engine.minInSync():
		return api.NewProblem(api.CodeTooFewInSync, "%d of at least %d replicas are in sync", len(s.config.ISR), s.engine.minInSync())
	case s.engine.diskFull() || s.full():
		return api.NewProblem(api.CodeStorageFull, "a disk of the slot's replicas is nearly full")
	default:
		return nil
	}
}

// full reports whether somebody who must acknowledge a record has no room for it.
func (s *slot) full() bool {
	return slices.ContainsFunc(s.need(), func(m member) bool {
		f := s.lead.followers[m]
		return f != nil && f.full
	})
}

// chain is the digest of the records up to and including one.
func chain(tip uint64, entry slotlog.Entry) uint64 {
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], tip)
	binary.BigEndian.PutUint64(head[8:], uint64(entry.Seq))
	head[16] = entry.Kind
	var digest xxhash.Digest
	digest.Reset()
	_, _ = digest.Write(head[:]) // never fails
	_, _ = digest.Write(entry.Record)
	return digest.Sum64()
}

func outcomeUnknown() *api.Problem {
	return api.NewProblem(api.CodeOutcomeUnknown, "the write was begun; whether it took effect is not known")
}

// elsewhere says that another store serves the slot.
func (s *slot) elsewhere() error {
	return api.NewProblem(api.CodeNotOwner, "node %s does not hold slot %d", s.engine.config.Self.Node, s.number)
}
