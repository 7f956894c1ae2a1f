package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

const (
	housekeepEvery = time.Second
	trimsPerSync   = 2 * time.Second
)

// trims forgets records that no replica of a slot will ask for: the service's state has them for good.
type trims struct {
	engine *Engine

	mu    sync.Mutex
	slots map[*slot]bool
	next  time.Time
}

func newTrims(engine *Engine) *trims { return &trims{engine: engine, slots: make(map[*slot]bool)} }

// note has a slot looked at, whose log has grown.
func (t *trims) note(s *slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slots[s] = true
}

// run trims the logs that have grown past their share.
func (t *trims) run(now time.Time) error {
	t.mu.Lock()
	if now.Before(t.next) || len(t.slots) == 0 {
		t.mu.Unlock()
		return nil
	}
	t.next = now.Add(trimsPerSync)
	slots := t.slots
	t.slots = make(map[*slot]bool)
	t.mu.Unlock()
	share := int64(t.engine.config.LogBytes / uint64(len(t.engine.slots)))
	var large []*slot
	for s := range slots {
		if t.engine.config.Log.Size(s.number) > share {
			large = append(large, s)
		}
	}
	if len(large) == 0 {
		return nil
	}
	return t.trim(large)
}

func (t *trims) trim(large []*slot) error {
	reached, cuts := make(map[*slot]seq, len(large)), make(map[*slot]int, len(large))
	for _, s := range large {
		cuts[s] = s.written.mark()
	}
	durable, keeps := t.engine.config.Service.(Durable)
	if keeps {
		for _, s := range large {
			reached[s] = s.appliedSoFar()
		}
		if err := durable.Sync(); err != nil {
			return fmt.Errorf("cannot make the service's state durable: %w", err)
		}
	}
	for _, s := range large {
		if !keeps {
			at, err := s.saveState()
			if err != nil {
				return err
			}
			reached[s] = at
		}
		s.trimTo(reached[s], cuts[s])
	}
	return nil
}

// appliedSoFar is what the service's state covers: pieces of a state to be restored are not in it.
func (s *slot) appliedSoFar() seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pieces > 0 {
		return s.pieces - 1
	}
	return s.applied
}

// saveState keeps the state for the next start, where there will be one.
func (s *slot) saveState() (seq, error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	at, digest := s.appliedSoFar(), s.appliedTip
	if s.engine.config.Volatile {
		return at, nil
	}
	if s.restoring != nil {
		return 0, nil // what was applied between the pieces would be applied to it once more
	}
	err := s.engine.config.Log.SaveState(s.number, at, digest, func(w io.Writer) error {
		return s.engine.config.Service.Snapshot(s.number, w)
	})
	if err != nil {
		return 0, fmt.Errorf("cannot save the state of slot %d: %w", s.number, err)
	}
	return at, nil
}

// trimTo forgets the log up to a record that the state has, as far as no follower needs it. A log that was cut since
// may be another one, whose state is not that far.
func (s *slot) trimTo(at seq, cut int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead != nil {
		if pinned, any := s.lead.pinned(); any {
			at = min(at, pinned)
		}
		for _, m := range s.need() {
			acked, _ := s.lead.acked(m)
			at = min(at, acked)
		}
		at = min(at, s.neededToCatchUp(at))
	}
	if at > s.meta.Base && !s.releasing && s.written.mark() == cut {
		s.engine.config.Log.Trim(s.number, at)
	}
}

// neededToCatchUp is up to where a log may go, of which at is no longer needed otherwise. A replica that catches up
// needs it longer than its share lasts: if it had to be given another copy, that would be behind again by the time
// it came. One that stays behind must not fill the disk.
func (s *slot) neededToCatchUp(at seq) seq {
	first, any := s.lead.catchingUp()
	if !any || s.engine.config.Log.Size(s.number) > int64(s.engine.config.LogBytes) {
		return at
	}
	return first
}

// housekeep looks after disk space and the logs' size.
func (e *Engine) housekeep(ctx context.Context) {
	tick := time.NewTicker(housekeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := e.trims.run(now); err != nil {
				e.fail(err)
				return
			}
			e.watchDisk()
			e.copies.pace.Adapt(e.latencies.p99(), e.copies.sending.Swap(false))
			e.each(func(s *slot) { s.giveUpIncoming(now) })
		}
	}
}

// watchDisk tells primaries when the disk is full, and when it no longer is: they take no writes meanwhile, so no
// acknowledgement would say so.
func (e *Engine) watchDisk() {
	if full := !e.hasRoom(0); e.full.Swap(full) != full {
		e.each(e.schedule)
	}
}

// hasRoom reports whether the disk takes size bytes more and keeps its reserve.
func (e *Engine) hasRoom(size uint64) bool {
	left, all, err := e.config.Log.Free()
	if err != nil || all == 0 {
		return err == nil
	}
	return left >= e.config.Reserve+size
}

func (s *slot) giveUpIncoming(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.incoming; in != nil && !in.restoring && now.Sub(in.heard) > incomingPatience {
		s.dropIncoming()
	}
}

// load finds the slots of the last run, and brings the service's state in line with their logs.
func (e *Engine) load() error {
	found, err := e.config.Log.Load()
	if err != nil {
		return err
	}
	for number, loaded := range found {
		if int(number) >= len(e.slots) {
			return fmt.Errorf("the log has slot %d, the ring has %d slots", number, len(e.slots))
		}
		s := newSlot(e, number, loaded)
		if err := e.restoreLoaded(s, loaded); err != nil {
			return fmt.Errorf("cannot load slot %d: %w", number, err)
		}
		e.slots[number].Store(s)
	}
	return nil
}

// restoreLoaded finds where the service's state stands in the log.
func (e *Engine) restoreLoaded(s *slot, loaded slotlog.Loaded) error {
	if !loaded.Held {
		return errors.Join(e.config.Service.Drop(s.number), e.config.Log.DropState(s.number))
	}
	at, err := e.stateAt(s.number)
	if err != nil {
		return err
	}
	if at+1 < loaded.First || at > loaded.Last {
		return fmt.Errorf("%w: the state is after record %d, the log has %d to %d", errNoState, at, loaded.First, loaded.Last)
	}
	s.applied, s.commit = at, at
	switch {
	case at == loaded.Last:
		s.appliedTip = loaded.Tip
	case at == loaded.Base:
		s.appliedTip = loaded.Digest
	default:
		s.appliedTip = s.digestFromLog(at)
	}
	return nil
}

// stateAt restores the service's state, where that does not keep its own, and says after which record it is.
func (e *Engine) stateAt(number api.Slot) (ownership.Seq, error) {
	if durable, keeps := e.config.Service.(Durable); keeps {
		return durable.Applied(number)
	}
	at, _, state, err := e.config.Log.State(number)
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer state.Close()
	return at, e.config.Service.Restore(number, state)
}
