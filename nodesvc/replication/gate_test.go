package replication

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api/ownership"
)

// A place rests after a change for as long as the change says; whoever waits is attended to then.
func TestGateRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{attention: newAttention()}
		e.latencies.since(time.Now())
		first, second := &slot{number: 1}, &slot{number: 2}
		g := newGate(e, 1, 3, 0)
		leave := g.enter(first)
		if leave == nil || g.enter(second) != nil {
			t.Fatal("one slot may pass, and not two")
		}
		time.Sleep(10 * time.Millisecond)
		leave()
		time.Sleep(3*10*time.Millisecond - 1)
		synctest.Wait()
		if len(e.attention.take(false)) > 0 || g.enter(second) != nil {
			t.Error("the place does not rest")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !e.attention.take(false)[second] || g.enter(second) == nil {
			t.Error("the place is free, and the slot that waits for it is not attended to")
		}
	})
}

// A place that pauses does so for a while that differs from time to time.
func TestGatePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{attention: newAttention()}
		g := newGate(e, 1, 0, time.Second)
		taken := func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.taken > 0
		}
		took := map[time.Duration]bool{}
		for range 8 {
			e.latencies.since(time.Now())
			leave := g.enter(&slot{})
			began := time.Now()
			leave()
			for taken() {
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
			pause := time.Since(began)
			if took[pause] = true; pause < time.Second || pause > 2*time.Second {
				t.Errorf("it paused for %v", pause)
			}
		}
		if len(took) < 2 {
			t.Errorf("it always pauses for %v", took)
		}
	})
}

// A node that stops hands over more at once, without a rest.
func TestGateHurriesWhenTheNodeStops(t *testing.T) {
	e := &Engine{attention: newAttention()}
	e.latencies.since(time.Now())
	g := newGate(e, 1, 0, time.Hour)
	g.enter(&slot{number: 1})()
	if g.enter(&slot{number: 2}) != nil {
		t.Fatal("the place does not rest")
	}
	e.leaves.Store(true)
	for i := 1; i < leavesMax; i++ {
		g.enter(&slot{})()
	}
	if g.enter(&slot{}) == nil {
		t.Error("there is no place though every change is over")
	}
}

// A node that serves nothing has nobody to go easy on.
func TestGateDoesNotRestWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{attention: newAttention()}
		e.latencies.since(time.Now())
		g := newGate(e, 1, 0, time.Hour)
		leave := g.enter(&slot{number: 1})
		time.Sleep(idleAfter + 1)
		leave()
		if g.enter(&slot{number: 2}) == nil {
			t.Error("the place rests")
		}
	})
}

// busy is a slot that is served, on a node whose gate for changes of in-sync sets is full.
func busy(t *testing.T, replicas int) *slot {
	st := newStage(t, replicas)
	t.Cleanup(st.stopAll)
	a := cast(st, 1)[0]
	st.want(7, "n1")
	a.put(t, 7, "a", "1")
	for range membersMax {
		a.Engine.members.enter(&slot{})
	}
	return a.slot(7)
}

// proposes reports whether the slot asks for a change at once.
func (s *slot) proposes(kind ownership.Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(ownership.Step[member]{Act: ownership.Propose, Kind: kind, ISR: s.config.ISR}, time.Now())
	return s.proposing
}

// Commits wait for a member that joins. Giving up on one that is gone must not wait for other slots' changes.
func TestAbortPassesTheGate(t *testing.T) {
	s := busy(t, 1)
	if s.proposes(ownership.Expand) {
		t.Error("an expand does not wait for its turn")
	}
	if !s.proposes(ownership.Abort) {
		t.Error("an abort waits for its turn")
	}
}

// A slot that lacks a replica does not wait for those that only move.
func TestRepairPassesTheGate(t *testing.T) {
	if s := busy(t, 2); !s.proposes(ownership.Expand) {
		t.Error("a slot with one replica of two waits for its turn")
	}
}
