package replication

import (
	"slices"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
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

// A slot of few records whose log begins behind the first of them: who joins it is not far behind, and needs a copy
// all the same. Were it joined without, commits would wait for what nobody can send.
func TestShortLogThatWasTrimmedNeedsACopy(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	a := cast(st, 2)[0]
	st.want(7, "n1")
	for _, value := range []string{"1", "2", "3"} {
		a.put(t, 7, "a", value)
	}
	a.log.Trim(7, 3)
	st.want(7, "n1", "n2")
	st.await(7, "n2 in sync", func(c api.SlotConfig) bool {
		return slices.ContainsFunc(c.ISR, func(m member) bool { return m.Node == "n2" })
	})
	if copies := a.Engine.count.copiesOut.Load(); copies != 1 {
		t.Errorf("%d copies were made, want 1", copies)
	}
	if epoch := a.Where(7).Epoch; epoch > 2 {
		t.Errorf("it took until epoch %v", epoch)
	}
}

// A store without room takes part in no slot that it is not in sync of: all of that slot's writes would be refused.
func TestFullDiskDoesNotJoin(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	actors := cast(st, 2)
	st.want(7, "n1")
	actors[0].put(t, 7, "a", "1")
	s, primary, full := actors[1].slot(7), actors[0].config.Self, actors[1].config.Self
	f := func(name string, epoch api.Epoch, follows bool, isr ...member) {
		t.Helper()
		actors[1].full.Store(true) // housekeeping will find that it is not
		s.onStart(primary, Start{SlotEpoch: s.inEpoch(epoch), Primary: primary, ISR: isr})
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.follow.started != follows {
			t.Errorf("%s: it follows: %v, want %v", name, s.follow.started, follows)
		}
	}
	f("outside", 100, false, primary)
	f("in sync", 101, true, primary, full)
}

// One that runs out of room while it catches up is left alone, which operators are told, and refuses nobody's writes.
func TestReplicaWithoutRoomIsNotWaitedFor(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	a := cast(st, 1)[0]
	st.want(7, "n1")
	a.put(t, 7, "a", "1")
	s, to := a.slot(7), member{Node: "n9", Store: storeOf("n9")}
	s.mu.Lock()
	s.lead.follower(to)
	tip, epoch := s.tip, s.lead.epoch
	s.mu.Unlock()
	s.onStarted(to, Started{SlotEpoch: s.inEpoch(epoch), Last: 1, Digest: tip})
	s.onAck(to, Ack{SlotEpoch: s.inEpoch(epoch), Seq: 1, Digest: tip, Full: true})
	a.put(t, 7, "a", "2")
	st.want(7, "n1", "n9")
	s.mu.Lock()
	defer s.mu.Unlock()
	if is := s.standing(to, time.Now()); !is.Blocked {
		t.Errorf("%+v of a replica without room", is)
	}
	if why := s.obstacle(s.lead.followers[to], time.Now()); why != diskNearlyFull {
		t.Errorf("operators are told %q", why)
	}
}
