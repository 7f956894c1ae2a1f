package replication

import (
	"testing"
	"time"

	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// A replica that catches up hears of commits before its own disk has the records: it does not apply these, or its
// service would be ahead of its log after a crash, and the node not start again.
func TestNothingIsAppliedBeforeItIsOnDisk(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	s := cast(st, 1)[0].slot(7)
	s.mu.Lock()
	s.tail = []slotlog.Entry{{Seq: 1}, {Seq: 2}, {Seq: 3}}
	s.last, s.commit, s.durable = 3, 3, 2
	s.mu.Unlock()
	entries, err := s.toApply()
	if err != nil || len(entries) != 2 {
		t.Errorf("%d records are to be applied, 2 are on disk; %v", len(entries), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail, s.last, s.commit, s.durable = nil, 0, 0, 0
}

// A slot whose replica has no room takes no writes; once there is room again it does, although nothing was written
// whose acknowledgement could have said so.
func TestWritesGoOnOnceAReplicaHasRoomAgain(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	actors := cast(st, 2)
	st.want(7, "n1", "n2")
	actors[0].put(t, 7, "a", "1")
	s := actors[0].slot(7)
	actors[1].full.Store(true) // housekeeping will find that it is not
	actors[1].schedule(actors[1].slot(7))
	for _, want := range []bool{true, false} {
		deadline := time.Now().Add(10 * time.Second)
		for full := !want; full != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the primary is not told: full is %v", full)
			}
			s.mu.Lock()
			full = s.full()
			s.mu.Unlock()
		}
	}
	actors[0].put(t, 7, "a", "2")
}
