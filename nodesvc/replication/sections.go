package replication

import (
	"context"
	"sync"

	"github.com/stead-io/stead/api"
)

// sections counts the updates and reads that are inside a slot: it is drained once there are none.
type sections struct {
	count int // guarded by the slot
	// empty is called, with the slot locked, when the last one leaves.
	empty func()
}

func newSections() *sections { return &sections{} }

// stay is one update's or read's time inside a slot.
type stay struct {
	slot  *slot
	reign uint64
	inner *sections
	once  sync.Once
}

// enter waits until this store serves the slot, and counts the caller in.
func (s *slot) enter(ctx context.Context) (*stay, error) {
	s.engine.count.parked.Add(1)
	defer s.engine.count.parked.Add(-1)
	for {
		s.mu.Lock()
		where := s.where()
		switch where.Place {
		case PlaceHere:
			stay := &stay{slot: s, reign: s.reign, inner: s.lead.sections}
			stay.inner.count++
			s.mu.Unlock()
			return stay, nil
		case PlaceElsewhere:
			err := s.elsewhere()
			s.mu.Unlock()
			return nil, err
		}
		s.mu.Unlock()
		select {
		case <-where.Moved:
		case <-ctx.Done():
			return nil, api.NewProblem(api.CodeSlotMoving, "the slot is changing hands")
		case <-s.engine.closing:
			return nil, api.NewProblem(api.CodeDraining, "the node is leaving")
		}
	}
}

// inside reports whether the store has been primary without a gap since the stay began. The slot is locked.
func (t *stay) inside(s *slot) bool { return s.lead != nil && s.reign == t.reign }

// leave counts the caller out. The slot must not be locked.
func (t *stay) leave() {
	t.once.Do(t.left)
}

func (t *stay) left() {
	t.slot.mu.Lock()
	defer t.slot.mu.Unlock()
	t.inner.count--
	if t.inner.count == 0 && t.inner.empty != nil {
		t.inner.empty()
	}
}

// keyLocks serialize the updates of a key, in the order in which they came.
type keyLocks struct {
	mu   sync.Mutex
	held map[string][]chan struct{} // who waits, by key; a key that is not there is free
}

// lock waits for the key; unlock lets the next one in.
func (k *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	unlock = func() { k.unlock(key) }
	k.mu.Lock()
	if k.held == nil {
		k.held = make(map[string][]chan struct{})
	}
	queue, taken := k.held[key]
	if !taken {
		k.held[key] = nil
		k.mu.Unlock()
		return unlock, nil
	}
	turn := make(chan struct{})
	k.held[key] = append(queue, turn)
	k.mu.Unlock()
	select {
	case <-turn:
		return unlock, nil
	case <-ctx.Done():
		k.giveUp(key, turn)
		return nil, ctx.Err()
	}
}

func (k *keyLocks) unlock(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue := k.held[key]
	if len(queue) == 0 {
		delete(k.held, key)
		return
	}
	k.held[key] = queue[1:]
	close(queue[0])
}

// giveUp leaves the queue, or hands on a turn that came meanwhile.
func (k *keyLocks) giveUp(key string, turn chan struct{}) {
	k.mu.Lock()
	for i, other := range k.held[key] {
		if other == turn {
			k.held[key] = append(k.held[key][:i:i], k.held[key][i+1:]...)
			k.mu.Unlock()
			return
		}
	}
	k.mu.Unlock()
	k.unlock(key)
}
