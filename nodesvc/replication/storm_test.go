package replication

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// TestStorm: slots move, stores stop and come back, connections are cut, while every key has one writer that
// counts up and reads back: what was acknowledged is read, and nothing that was never written.
func TestStorm(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := stormSeed(); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("seed %d", seed)
	for _, replicas := range []int{2, 3} {
		t.Run(fmt.Sprint("R=", replicas), func(t *testing.T) { storm(t, replicas, rand.New(rand.NewPCG(seed, 1))) })
	}
}

const (
	stormNodes = 5
	stormSlots = 8
	stormTime  = 8 * time.Second
)

func storm(t *testing.T, replicas int, random *rand.Rand) {
	st := newStage(t, replicas)
	defer st.stopAll()
	cast(st, stormNodes)
	for slot := range stormSlots {
		st.want(api.Slot(slot), pick(random, replicas)...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stormTime)
	defer cancel()
	var writers sync.WaitGroup
	for slot := range stormSlots {
		for key := range 3 {
			writers.Go(func() { countUp(ctx, st, api.Slot(slot), fmt.Sprint("k", key)) })
		}
	}
	for ctx.Err() == nil && st.sound() {
		trouble(st, random, replicas)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
	}
	writers.Wait()
	var moved, copied uint64
	for i := range stormNodes {
		stats := st.actor(i).Stats()
		moved, copied = moved+stats.HandOvers, copied+stats.CopiesIn
	}
	t.Logf("%d configurations, %d hand-overs and %d copies since the last restarts", st.epochs(), moved, copied)
}

// sound reports whether no store has failed.
func (st *stage) sound() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for id, a := range st.actors {
		if err := a.Err(); err != nil {
			st.t.Errorf("%s failed: %v", id, err)
			return false
		}
	}
	return true
}

func (st *stage) epochs() (sum api.Epoch) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, c := range st.configs {
		sum += c.Epoch
	}
	return sum
}

func pick(random *rand.Rand, n int) (nodes []api.NodeID) {
	for _, i := range random.Perm(stormNodes)[:n] {
		nodes = append(nodes, api.NodeID(fmt.Sprint("n", i+1)))
	}
	return nodes
}

// trouble makes some.
func trouble(st *stage, random *rand.Rand, replicas int) {
	switch n := random.IntN(10); {
	case n < 6:
		for range 3 {
			st.want(api.Slot(random.IntN(stormSlots)), pick(random, replicas)...)
		}
	case n < 8 && st.calm():
		a := st.actor(random.IntN(stormNodes))
		st.down(a)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		st.start(a.self.Node)
	case n < 9 && st.calm():
		a, b := st.actor(random.IntN(stormNodes)), st.actor(random.IntN(stormNodes))
		if a != b {
			st.part(a, b)
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			st.heal(a, b)
		}
	}
}

// calm waits until every slot has all the copies that are wanted, as whoever takes one away must.
func (st *stage) calm() bool {
	for range 500 {
		st.mu.Lock()
		calm := true
		for _, c := range st.configs {
			calm = calm && len(c.ISR) >= st.settings.Replicas
		}
		st.mu.Unlock()
		if calm {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 4<<20)
	st.t.Fatalf("slots lack copies for too long\n%s\n%s", st.dump(), buf[:runtime.Stack(buf, true)])
	return false
}

func (st *stage) actor(n int) *actor {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.actors[api.NodeID(fmt.Sprint("n", n+1))]
}

func (st *stage) heal(a, b *actor) {
	st.mu.Lock()
	clear(st.cut)
	st.mu.Unlock()
	st.link(a, b)
}

// owner is the actor that the control plane names.
func (st *stage) owner(slot api.Slot) *actor {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.actors[st.configs[slot].Primary]
}

// countUp writes 1, 2, 3 … and reads: what it reads was acknowledged last, or begun since.
func countUp(ctx context.Context, st *stage, slot api.Slot, key string) {
	acked, begun := 0, 0
	for ctx.Err() == nil {
		if a := st.owner(slot); a != nil {
			begun++
			if a.try(slot, key, begun) {
				acked = begun
			}
		}
		if a := st.owner(slot); a != nil {
			if got, known := a.look(slot, key); known && (got < acked || got > begun) {
				st.t.Errorf("slot %d %s: %d was acknowledged and %d begun, %s read %d", slot, key, acked, begun, a.self.Node, got)
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
	if begun < 50 {
		st.t.Errorf("slot %d %s: only %d writes in all", slot, key, begun)
	}
}

func (a *actor) try(slot api.Slot, key string, n int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_, err := a.Update(ctx, slot, []byte(key), func() ([]byte, error) { return fmt.Appendf(nil, "%s=%d", key, n), nil })
	return err == nil
}

func (a *actor) look(slot api.Slot, key string) (got int, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	err := a.Read(ctx, slot, func() error { got, _ = strconv.Atoi(a.service.get(slot, key)); return nil }, false)
	return got, err == nil
}

func stormSeed() string { return os.Getenv("STORM_SEED") }

// dump says how slots that lack copies look to their primaries and the others.
func (st *stage) dump() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	var text strings.Builder
	fmt.Fprintf(&text, "nodes %v cut %v\n", st.nodes, st.cut)
	for slot, c := range st.configs {
		if len(c.ISR) >= st.settings.Replicas {
			continue
		}
		fmt.Fprintf(&text, "%+v\n", c)
		for id, a := range st.actors {
			fmt.Fprintf(&text, "  %s: %s\n", id, a.slot(slot).dump())
		}
	}
	return text.String()
}

func (s *slot) dump() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("config %d of %s adopted %d/%d acked %d last %d durable %d commit %d applied %d proposing %v releasing %v incoming %v follow %+v seal %v",
		s.config.Epoch, s.config.Primary.Node, s.meta.Adopted, s.adopted, s.meta.Acked, s.last, s.durable, s.commit, s.applied, s.proposing, s.releasing, s.incoming != nil, s.follow, s.sealTo)
	if l := s.lead; l != nil {
		text += fmt.Sprintf("\n    leads %d open %v start %d pending %v handover %+v sections %d backoffs %d", l.epoch, l.open, l.start, l.pending, l.handover, l.sections.count, s.backOffs)
		for m, f := range l.followers {
			text += fmt.Sprintf("\n    %s started %v need %v known %v acked %d sent %d owes %v blocked %q copy %v begun %v", m.Node, f.started, f.need, f.known, f.acked, f.sent, f.owes.IsZero(), f.blocked, f.copy != nil, time.Since(f.begun))
		}
	}
	return text
}
