package replication

import (
	"context"
	"fmt"
	"strconv"
	"sync"
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
