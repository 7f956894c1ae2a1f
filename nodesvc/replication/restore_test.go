package replication

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stead-io/stead/api"
)

// A restore that broke off is over on every replica: what came of it would keep the slot from being copied.
func TestRestoreThatBreaksOff(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	actors := cast(st, 2)
	a := actors[0]
	st.want(7, "n1", "n2")
	a.put(t, 7, "a", "1")
	broken := io.MultiReader(bytes.NewReader(make([]byte, 2*pieceSize)), iotest.ErrReader(errors.New("gone")))
	if err := a.Restore(t.Context(), 7, broken, true); err == nil {
		t.Fatal("a state that broke off was restored")
	}
	a.get(t, 7, "a", "1")
	deadline := time.Now().Add(10 * time.Second)
	for _, s := range []*slot{a.slot(7), actors[1].slot(7)} {
		for under := true; under; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("a restore that broke off is under way for ever")
			}
			s.applying.Lock()
			under = s.restoring != nil || s.applied < 3
			s.applying.Unlock()
		}
	}
}

// Two restores of a slot at once would be taken for one.
func TestOneRestoreAtATime(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	a := cast(st, 1)[0]
	st.want(7, "n1")
	a.put(t, 7, "a", "1")
	state, more := io.Pipe()
	ended := make(chan error)
	go func() { ended <- a.Restore(t.Context(), 7, state, true) }()
	if _, err := more.Write([]byte("a=2\n")); err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(t.Context(), 7, bytes.NewReader(nil), true); api.CodeOf(err) != api.CodeConflict {
		t.Errorf("a second one: %v", err)
	}
	_ = more.Close()
	<-ended
}
