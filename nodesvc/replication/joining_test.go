package replication

import (
	"testing"
	"time"
)

// A follower that says it needs no copy while one is on its way to it will lose its log to the copy all the same:
// until the copy is over nothing that it acknowledges counts, and it does not join.
func TestFollowerDoesNotJoinDuringItsCopy(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	a := cast(st, 1)[0]
	st.want(7, "n1")
	a.put(t, 7, "a", "1")
	s, to := a.slot(7), member{Node: "n9", Store: storeOf("n9")}
	s.mu.Lock()
	f := s.lead.follower(to)
	f.copy = &copyOut{to: to, stop: func() {}}
	tip, epoch := s.tip, s.lead.epoch
	s.mu.Unlock()
	s.onStarted(to, Started{SlotEpoch: s.inEpoch(epoch), Last: 1, Digest: tip})
	s.onAck(to, Ack{SlotEpoch: s.inEpoch(epoch), Seq: 1, Digest: tip})
	s.mu.Lock()
	defer s.mu.Unlock()
	if is := s.standing(to, time.Now()); is.CaughtUp || is.Known || !f.need {
		t.Errorf("%+v, needs a copy: %v", is, f.need)
	}
	f.copy = nil
}
