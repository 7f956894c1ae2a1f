package replication

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// TestFrozenMove: a service without a log changes its state as requests come; slots move back and forth
// meanwhile, and no change is lost.
func TestFrozenMove(t *testing.T) {
	st := newStage(t, 1)
	st.frozen = true
	defer st.stopAll()
	cast(st, 3)
	st.want(7, "n1")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var counted int
	var counting sync.WaitGroup
	counting.Go(func() {
		for ctx.Err() == nil {
			if a := st.owner(7); a != nil && a.count(t, 7) {
				counted++
			}
		}
	})
	moves := 0
	for ctx.Err() == nil {
		to := api.NodeID(fmt.Sprint("n", 1+(moves+1)%3))
		st.want(7, to)
		st.await(7, "the move", func(c api.SlotConfig) bool { return held(c, to, to) })
		moves++
	}
	counting.Wait()
	last := st.owner(7)
	deadline := time.Now().Add(5 * time.Second)
	for last.service.get(7, "n") != strconv.Itoa(counted) && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if got := last.service.get(7, "n"); got != strconv.Itoa(counted) || moves < 5 {
		t.Errorf("%s requests are counted, %d were answered, over %d moves", got, counted, moves)
	}
	t.Logf("%d requests, %d moves", counted, moves)
}

// A slot whose rehearsal fails stays where it is and is served, and operators see why; once it goes well the
// slot moves.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	st := newStage(t, 1)
	st.frozen = true
	defer st.stopAll()
	var refused atomic.Int64
	refused.Store(1)
	n1, _ := st.start("n1"), st.start("n2")
	n1.service.rehearsal = func(api.Slot) error {
		if refused.Load() > 0 {
			return errors.New("it is too large")
		}
		return nil
	}
	st.want(7, "n1")
	st.want(7, "n2")
	n1.awaitBlocked(t, "too large")
	if !n1.count(t, 7) {
		t.Error("the slot is not served")
	}
	refused.Store(0)
	st.await(7, "the move", func(c api.SlotConfig) bool { return held(c, "n2", "n2") })
}

// A request that does not end keeps its slot: what it may still do would be lost.
func TestEndlessRequestKeepsItsSlot(t *testing.T) {
	t.Parallel()
	st := newStage(t, 1)
	st.frozen = true
	defer st.stopAll()
	n1, _ := st.start("n1"), st.start("n2")
	st.want(7, "n1")
	for where := n1.Where(7); where.Place != PlaceHere; where = n1.Where(7) {
		<-where.Moved
	}
	end, began := make(chan struct{}), make(chan struct{})
	var endless sync.WaitGroup
	endless.Go(func() {
		_ = n1.Read(context.Background(), 7, func() error {
			close(began)
			<-end
			_, err := n1.service.Apply(7, []byte("late=1"))
			return err
		}, true)
	})
	<-began
	st.want(7, "n2")
	n1.awaitBlocked(t, "do not end")
	close(end)
	endless.Wait()
	st.await(7, "the move", func(c api.SlotConfig) bool { return held(c, "n2", "n2") })
	if got := st.actors["n2"].service.get(7, "late"); got != "1" {
		t.Errorf("what it did was lost: %q", got)
	}
}

// TestHeldSlotMovesOnceItIsLet: what holds a slot hears that it is to leave, and what it does until it lets go is in
// the copy.
func TestHeldSlotMovesOnceItIsLet(t *testing.T) {
	t.Parallel()
	st := newStage(t, 1)
	st.frozen = true
	defer st.stopAll()
	n1, _ := st.start("n1"), st.start("n2")
	st.want(7, "n1")
	for where := n1.Where(7); where.Place != PlaceHere; where = n1.Where(7) {
		<-where.Moved
	}
	began := make(chan struct{})
	var holding sync.WaitGroup
	holding.Go(func() {
		err := n1.Hold(context.Background(), 7, func() {
			close(began)
			for where := n1.Where(7); where.Place == PlaceHere; where = n1.Where(7) {
				<-where.Moved
			}
			if _, err := n1.service.Apply(7, []byte("late=1")); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-began
	st.want(7, "n2")
	st.await(7, "the move", func(c api.SlotConfig) bool { return held(c, "n2", "n2") })
	holding.Wait()
	if got := st.actors["n2"].service.get(7, "late"); got != "1" {
		t.Errorf("what it did was lost: %q", got)
	}
	if err := n1.Hold(context.Background(), 7, func() { t.Error("it holds what is elsewhere") }); api.CodeOf(err) != api.CodeNotOwner {
		t.Errorf("of a slot that is elsewhere: %v", err)
	}
}

// awaitBlocked waits until the actor reports slot 7 as blocked.
func (a *actor) awaitBlocked(t *testing.T, why string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		blocked := a.Moves().Blocked
		if len(blocked) == 1 && blocked[0].Slot == 7 && strings.Contains(blocked[0].Reason, why) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("blocked: %+v, want %q", blocked, why)
		}
	}
}

// count is a request that changes the service's state by itself.
func (a *actor) count(t *testing.T, slot api.Slot) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return a.Read(ctx, slot, func() error {
		n, _ := strconv.Atoi(a.service.get(slot, "n"))
		_, err := a.service.Apply(slot, fmt.Appendf(nil, "n=%d", n+1))
		return err
	}, true) == nil
}

// A copy that has joined may be in sync for all that its primary knows: giving up, this lets nobody in before the
// control plane has ended the epoch.
func TestThawWaitsForTheEndOfAJoin(t *testing.T) {
	st := newStage(t, 1)
	st.frozen = true
	defer st.stopAll()
	a := cast(st, 1)[0]
	st.want(7, "n1")
	for where := a.Where(7); where.Place != PlaceHere; where = a.Where(7) {
		<-where.Moved
	}
	s, to := a.slot(7), member{Node: "n9", Store: storeOf("n9")}
	s.mu.Lock()
	before := s.lead.epoch
	s.lead.handover = &handover{to: to, leave: a.handOvers.enter(s), shut: true, given: true}
	s.lead.pending = []member{to}
	s.thaw(s.lead.follower(to), time.Now())
	serves := s.lead.serves()
	s.mu.Unlock()
	if serves {
		t.Error("the slot is served while the copy may be in sync")
	}
	for where := a.Where(7); where.Place != PlaceHere || where.Epoch == before; where = a.Where(7) {
		<-where.Moved
	}
}
