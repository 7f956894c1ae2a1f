package replication

import (
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

type (
	member = api.Replica
	config = ownership.Config[member]
	seq    = ownership.Seq
)

// slot is one slot of this store: what the control plane says of it, what the log has, and what the store is
// to it at the moment. Its mutex is held for short: sending and appending only queue.
type slot struct {
	engine *Engine
	number api.Slot
	keys   keyLocks
	written

	scheduled  bool       // guarded by the engine's queue
	applying   sync.Mutex // held while the service's state is changed, or looked at as a whole
	appliedTip uint64     // digest of the chain at applied; guarded by applying

	mu         sync.Mutex
	config     config // newest known, from the control plane or a peer
	want       []api.NodeID
	read       uint64 // log index at which the control plane told config; 0: a peer did
	recovering bool

	meta    slotlog.Meta
	last    seq       // of the log
	tip     uint64    // digest of the chain at last
	durable seq       // up to which the log is on disk
	adopted api.Epoch // up to which meta.Adopted is on disk
	commit  seq
	applied seq
	tail    []slotlog.Entry // the last records, all those behind applied among them

	lead      *lead         // while primary in meta.Adopted
	follow    follow        // while not
	reign     uint64        // rises when the store stops being primary, or may have missed another's epoch
	moved     chan struct{} // closed and replaced when where() may have changed
	waiting   []*waiter     // updates whose record is in the log, by seq
	abandoned []*waiter     // updates whose outcome nobody here will know; to be told
	restoring *restoring    // a state that records bring; guarded by applying
	proposing bool          // a proposal is on its way
	passed    func()        // to be called at its end, if it had to pass the gate
	sealTo    *sealed       // an offer to take over, while it stands
	incoming  *copyIn       // a copy that is being received
	releasing bool          // what the store has of the slot is to be deleted
	pieces    seq           // first record of a state that is being restored; 0: none
	restores  bool          // somebody here is sending such a state
	backOffs  int           // hand-overs in a row that came to nothing
	retryAt   time.Time     // of the next one
}

// follow is what a store that is not primary knows of the one that is.
type follow struct {
	primary  member
	started  bool // it opened the epoch towards this store
	answered bool // Started is sent
	acked    seq  // told last
	full     bool // told last: the disk is
}

// written is what the log reported as durable. Its own mutex lets the log's goroutine report while the slot is
// waiting for the log.
type written struct {
	note sync.Mutex
	cut  int // counts truncations: what was queued before one says nothing of what is there after
	seq  seq
	meta api.Epoch
}

func (w *written) reached(cut int, last seq) {
	w.note.Lock()
	defer w.note.Unlock()
	if cut == w.cut && last > w.seq {
		w.seq = last
	}
}

func (w *written) adoptedUpTo(epoch api.Epoch) {
	w.note.Lock()
	defer w.note.Unlock()
	w.meta = max(w.meta, epoch)
}

// truncated begins a new count from last on; it returns the mark of what is queued from now on.
func (w *written) truncated(last seq) int {
	w.note.Lock()
	defer w.note.Unlock()
	w.cut++
	w.seq = min(w.seq, last)
	return w.cut
}

func (w *written) mark() int {
	w.note.Lock()
	defer w.note.Unlock()
	return w.cut
}

func (w *written) now() (last seq, adopted api.Epoch) {
	w.note.Lock()
	defer w.note.Unlock()
	return w.seq, w.meta
}

func newSlot(engine *Engine, number api.Slot, found slotlog.Loaded) *slot {
	s := &slot{
		engine: engine, number: number, meta: found.Meta, last: found.Last, tip: found.Tip,
		durable: found.Last, adopted: found.Adopted, moved: make(chan struct{}),
	}
	s.written.seq, s.written.meta = found.Last, found.Adopted
	if s.last == 0 && s.meta.Base == 0 {
		s.tip = s.meta.Digest
	}
	return s
}

// learn takes a configuration that the control plane committed, as it stood at a log index.
func (s *slot) learn(told api.SlotConfig, read uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine.former(told.Epoch) || told.Epoch < s.config.Epoch || told.Epoch == s.config.Epoch && read < s.read {
		return
	}
	s.want, s.read, s.recovering = told.Want, read, told.Recovering
	s.setConfig(config{Epoch: told.Epoch, Primary: told.PrimaryReplica(), ISR: told.ISR})
	s.engine.attend(s)
}

// setConfig acts on the newest configuration.
func (s *slot) setConfig(next config) {
	s.config = next
	s.announce()
	if s.recovering {
		s.depose()
		return
	}
	switch {
	case s.appointed() && s.lead == nil && s.changing(): // see resume
	case s.appointed():
		s.reignIn(next)
	case next.Epoch > s.meta.Adopted:
		s.obeyOther(next)
	}
}

// obeyOther adopts an epoch in which another store is primary, or nobody: no lower one is obeyed from now on.
func (s *slot) obeyOther(next config) {
	s.depose()
	s.follow = follow{primary: next.Primary}
	if (s.meta.Held || s.last > 0) && !s.unreported(next.Epoch) {
		s.adoptEpoch(next, nil)
	}
}

// adopt notes a configuration as the last one obeyed; no lower epoch is from now on. The caller makes that
// durable.
func (s *slot) adopt(next config) {
	if next.Epoch >= s.meta.Adopted {
		s.meta.Adopted, s.meta.Config = next.Epoch, next
	}
}

// adoptEpoch makes a configuration durable, with the history it comes with if there is one.
func (s *slot) adoptEpoch(next config, history []ownership.EpochStart) {
	if history != nil {
		s.meta.History = history
	}
	s.adopt(next)
	s.engine.config.Log.SetMeta(s.number, s.metaCopy(), s.adoptedDone(s.meta.Adopted))
}

func (s *slot) adoptedDone(epoch api.Epoch) func(error) {
	return func(err error) {
		if err == nil {
			s.written.adoptedUpTo(epoch)
			s.engine.schedule(s)
		}
	}
}

func (s *slot) metaCopy() slotlog.Meta {
	meta := s.meta
	meta.History = slices.Clone(meta.History)
	return meta
}

// depose ends being primary. What was appended and is not committed has an unknown outcome.
func (s *slot) depose() {
	if s.lead == nil {
		return
	}
	s.handedOver()
	s.lead.end(s)
	s.lead = nil
	s.reign++
	s.abandoned = append(s.abandoned, s.waiting...)
	s.waiting = nil
	s.announce()
	s.engine.schedule(s)
}

// announce wakes who waits for the slot to be somewhere else.
func (s *slot) announce() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// where is how the store stands to the slot now.
func (s *slot) where() Where {
	w := Where{Place: PlaceElsewhere, Epoch: s.config.Epoch, Owner: s.config.Primary.Node, Moved: s.moved}
	switch {
	case s.lead != nil && s.lead.serves():
		w.Place = PlaceHere
	case s.lead != nil || s.appointed() && s.changing() || s.config.Epoch == 0 && !s.engine.told.Load():
		w.Place = PlaceComing
	case s.recovering:
		w.Owner = ""
	}
	return w
}

// self reports whether a member is this store.
func (s *slot) self(m member) bool { return m == s.engine.config.Self }

// unreported reports whether an epoch is of a generation in which this store has not registered yet. Until then
// the control plane may not know what is here, and decide on the slot as if it were not: nothing is given up.
func (s *slot) unreported(epoch api.Epoch) bool {
	return s.engine.config.Control != nil && epoch.Generation() > max(s.meta.Adopted.Generation(), s.engine.session.Load())
}

// wants reports whether a node is to hold the slot.
func (s *slot) wants(node api.NodeID) bool { return slices.Contains(s.want, node) }

// at returns the record of a seq from the tail; ok is false if it is only in the log.
func (s *slot) at(n seq) (entry slotlog.Entry, ok bool) {
	if len(s.tail) == 0 || n < s.tail[0].Seq || n > s.last {
		return entry, false
	}
	return s.tail[n-s.tail[0].Seq], true
}

// digestAt is the digest of the chain at a seq, as far as it is at hand.
func (s *slot) digestAt(n seq) (uint64, bool) {
	switch {
	case n == s.last:
		return s.tip, true
	case n == s.meta.Base:
		return s.meta.Digest, true
	}
	entry, ok := s.at(n)
	return entry.Digest, ok
}

// trimTail forgets records that are applied and that no follower will be sent from memory.
func (s *slot) trimTail() {
	keep := s.applied
	if s.lead != nil {
		for _, f := range s.lead.followers {
			if f.started && f.sent >= s.applied-min(s.applied, tailRecordsMax) {
				keep = min(keep, f.sent)
			}
		}
	}
	if len(s.tail) == 0 || s.tail[0].Seq > keep {
		return
	}
	n := int(keep - s.tail[0].Seq + 1)
	if n == len(s.tail) {
		s.tail = nil
	} else if n > len(s.tail)/2 {
		s.tail = slices.Clone(s.tail[n:])
	}
}

// tailRecordsMax is how far a follower may be behind and still be sent records from memory.
const tailRecordsMax = 1024
