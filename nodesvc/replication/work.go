package replication

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// applyBatchMax is how many records a slot applies before another slot has its turn.
const applyBatchMax = 256

// queue holds the slots that have work to do: each at most once, so it never grows past the ring.
type queue struct {
	mu     sync.Mutex
	filled *sync.Cond
	slots  []*slot
	again  map[*slot]bool // being worked on, and to be worked on once more
	busy   map[*slot]bool
	closed bool
}

func newQueue() *queue {
	q := &queue{again: make(map[*slot]bool), busy: make(map[*slot]bool)}
	q.filled = sync.NewCond(&q.mu)
	return q
}

func (q *queue) add(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed || s.scheduled:
	case q.busy[s]:
		q.again[s] = true
	default:
		s.scheduled = true
		q.slots = append(q.slots, s)
		q.filled.Signal()
	}
}

// take waits for a slot; nil: the queue is closed. One slot is never with two workers.
func (q *queue) take() *slot {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.slots) == 0 && !q.closed {
		q.filled.Wait()
	}
	if q.closed {
		return nil
	}
	s := q.slots[0]
	q.slots = q.slots[1:]
	s.scheduled = false
	q.busy[s] = true
	return s
}

func (q *queue) done(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, s)
	if q.again[s] && !q.closed {
		delete(q.again, s)
		s.scheduled = true
		q.slots = append(q.slots, s)
		q.filled.Signal()
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

func (e *Engine) schedule(s *slot) { e.queue.add(s) }

// work is a worker: it takes slots whose log, peers or service have moved on, and moves the slot on.
func (e *Engine) work() {
	for s := e.queue.take(); s != nil; s = e.queue.take() {
		s.progress()
		e.queue.done(s)
	}
}

// progress commits, applies, answers and sends whatever there is to.
func (s *slot) progress() {
	s.mu.Lock()
	s.durable, s.adopted = s.written.now()
	s.durable = min(s.durable, s.last)
	s.advance()
	s.answer()
	behind := s.pump()
	abandoned := s.abandoned
	s.abandoned = nil
	due, release := s.applied < s.appliable(), s.releasing
	s.mu.Unlock()
	for _, w := range abandoned {
		s.engine.count.unknown.Add(1)
		w.resolve(nil, outcomeUnknown())
	}
	if release {
		if err := s.release(); err != nil {
			s.engine.fail(err)
			return
		}
	}
	if due {
		if err := s.apply(); err != nil {
			s.engine.fail(err)
			return
		}
	}
	for _, f := range behind {
		s.feed(f)
	}
}

// apply carries out committed records.
func (s *slot) apply() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	entries, err := s.toApply()
	if err != nil {
		return fmt.Errorf("cannot apply slot %d: %w", s.number, err)
	}
	for _, entry := range entries {
		result, err := s.applyOne(entry)
		if err != nil && errors.Is(err, ErrBroken) {
			return fmt.Errorf("cannot apply record %d of slot %d: %w", entry.Seq, s.number, err)
		}
		s.appliedTip = entry.Digest
		s.tell(entry.Seq, result, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trimTail()
	s.advance()
	s.forgetPieces()
	if s.applied < s.appliable() {
		s.engine.schedule(s)
	}
	s.engine.trims.note(s)
	return nil
}

// appliable is the last record that may be applied: committed, and durable here. A replica that is catching up
// hears of commits that did not wait for it; were it to apply what it could still lose, its state might outlive
// its log.
func (s *slot) appliable() seq { return min(s.commit, s.durable) }

// toApply are the committed records that are not applied, the first of them.
func (s *slot) toApply() ([]slotlog.Entry, error) {
	s.mu.Lock()
	from, upTo := s.applied+1, min(s.appliable(), s.applied+applyBatchMax)
	if from > upTo {
		s.mu.Unlock()
		return nil, nil
	}
	if _, kept := s.at(from); kept {
		first := from - s.tail[0].Seq
		entries := append([]slotlog.Entry(nil), s.tail[first:upTo-s.tail[0].Seq+1]...)
		s.mu.Unlock()
		return entries, nil
	}
	s.mu.Unlock()
	entries, err := s.engine.config.Log.Read(s.number, from, framePayloadMax)
	for i, entry := range entries {
		if entry.Seq > upTo {
			return entries[:i], err
		}
	}
	return entries, err
}

func (s *slot) applyOne(entry slotlog.Entry) (any, error) {
	if entry.Kind == recordRestore {
		return nil, s.applyRestore(entry)
	}
	if durable, keeps := s.engine.config.Service.(Durable); keeps {
		return durable.ApplyAt(s.number, entry.Seq, entry.Record)
	}
	return s.engine.config.Service.Apply(s.number, entry.Record)
}

// tell notes that a record is applied, and gives its result to whoever waits for it.
func (s *slot) tell(at seq, result any, err error) {
	s.mu.Lock()
	s.applied = at
	var told *waiter
	if len(s.waiting) > 0 && s.waiting[0].seq <= at {
		if s.waiting[0].seq == at {
			told = s.waiting[0]
		}
		s.waiting = s.waiting[1:]
	}
	s.mu.Unlock()
	if told != nil {
		told.resolve(result, err)
	}
}

// commits tells followers how far they may apply, many slots at a time.
type commits struct {
	engine *Engine

	mu    sync.Mutex
	slots map[*slot]bool
}

// commitEvery is how long a follower may wait to hear of a commit that no record follows.
const commitEvery = 10 * time.Millisecond

func newCommits(engine *Engine) *commits {
	return &commits{engine: engine, slots: make(map[*slot]bool)}
}

func (c *commits) note(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[s] = true
}

// tell sends what there is to tell, a frame to a node.
func (c *commits) tell() {
	c.mu.Lock()
	slots := c.slots
	c.slots = make(map[*slot]bool, len(slots)/2)
	c.mu.Unlock()
	frames := make(map[member]*Commits)
	for s := range slots {
		s.mu.Lock()
		if s.lead != nil {
			for m, f := range s.lead.followers {
				if f.started && !f.need {
					if frames[m] == nil {
						frames[m] = &Commits{}
					}
					frames[m].Slots = append(frames[m].Slots, Commit{SlotEpoch: s.inEpoch(s.lead.epoch), Seq: s.commit})
				}
			}
		}
		s.mu.Unlock()
	}
	for m, frame := range frames {
		c.engine.send(m.Node, *frame)
	}
}
