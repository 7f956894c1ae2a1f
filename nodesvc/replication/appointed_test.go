package replication

import (
	"testing"
	"time"
)

// heldUp is a Drop that does not end.
type heldUp struct{ begun, end chan struct{} }

// holdUp has the service's next Drop wait for its end.
func (w *words) holdUp() heldUp {
	h := heldUp{make(chan struct{}), make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropping = func() {
		w.mu.Lock()
		w.dropping = nil
		w.mu.Unlock()
		close(h.begun)
		<-h.end
	}
	return h
}

// until waits for what holds of a slot that is locked.
func (s *slot) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		held := holds()
		s.mu.Unlock()
		if held {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s: %s", what, s.dump())
		}
	}
}

// appointedTo forces a slot to a store at work on the slot's state, and checks that it does not reign before that
// work is done.
func appointedTo(t *testing.T, st *stage, a *actor, at heldUp) {
	t.Helper()
	select {
	case <-at.begun:
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing is deleted: %s", a.slot(7).dump())
	}
	st.force(7, a.self)
	s := a.slot(7)
	s.until(t, "it is told", func() bool { return s.config.Primary == a.self })
	s.mu.Lock()
	reigns := s.lead != nil
	s.mu.Unlock()
	if where := a.Where(7); reigns || where.Place != PlaceComing {
		t.Errorf("it reigns over part of a state: %v, %+v", reigns, where)
	}
	close(at.end)
	for where := a.Where(7); where.Place != PlaceHere; where = a.Where(7) {
		select {
		case <-where.Moved:
		case <-time.After(10 * time.Second):
			t.Fatalf("it never reigns: %s", s.dump())
		}
	}
}

// A store may be given a slot while it deletes what it had of it: it begins with nothing, not with what is left.
func TestReignWaitsForARelease(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	n1 := cast(st, 2)[0]
	st.want(7, "n1")
	n1.put(t, 7, "a", "1")
	at := n1.service.holdUp()
	st.want(7, "n2")
	appointedTo(t, st, n1, at)
	n1.get(t, 7, "a", "")
	n1.put(t, 7, "b", "2")
	n1.get(t, 7, "b", "2")
	if has, err := n1.log.Read(7, 1, 1<<10); err != nil || len(has) != 1 {
		t.Errorf("the log has %d records, want 1: %v", len(has), err)
	}
}

// A store may be given a slot while a copy takes the place of what it had: it begins with the whole copy.
func TestReignWaitsForACopy(t *testing.T) {
	st := newStage(t, 1)
	st.frozen = true
	defer st.stopAll()
	actors := cast(st, 2)
	n1, n2 := actors[0], actors[1]
	st.want(7, "n1")
	if _, err := n1.service.Apply(7, []byte("a=1")); err != nil {
		t.Fatal(err)
	}
	at := n2.service.holdUp()
	st.want(7, "n2")
	appointedTo(t, st, n2, at)
	n2.get(t, 7, "a", "1")
}

// A slot that was to be deleted and is given back first keeps what it had.
func TestReignEndsAReleaseThatHasNotBegun(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	n1 := cast(st, 1)[0]
	st.want(7, "n1")
	n1.put(t, 7, "a", "1")
	s := n1.slot(7)
	s.applying.Lock() // the release has to wait for its turn
	st.force(7, member{Node: "n2", Store: storeOf("n2")})
	s.until(t, "it is to be deleted", func() bool { return s.releasing })
	st.force(7, n1.self)
	s.until(t, "it is given back", func() bool { return s.config.Primary == n1.self })
	s.applying.Unlock()
	n1.get(t, 7, "a", "1")
}
