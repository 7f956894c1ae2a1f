package replication

import (
	"context"
	"testing"
)

// Whoever recovers from a panic of propose finds the key free, and the slot can be drained.
func TestPanicOfProposeFreesTheKey(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	a := cast(st, 1)[0]
	st.want(7, "n1")
	a.put(t, 7, "a", "1")
	func() {
		defer func() { _ = recover() }()
		_, _ = a.Update(context.Background(), 7, []byte("a"), func() ([]byte, error) { panic("at the service") })
	}()
	a.put(t, 7, "a", "2")
	s := a.slot(7)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead.sections.count != 0 {
		t.Errorf("%d are inside", s.lead.sections.count)
	}
}
