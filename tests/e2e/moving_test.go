//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// What clients may notice of a move.
const (
	hotKeys     = 64
	hotEvery    = 40 * time.Millisecond // a request: 25 a second
	coldKeys    = 64
	coldEvery   = 250 * time.Millisecond
	calmBefore  = 4 * time.Second
	gapMoreMax  = 20 * time.Millisecond
	flipNear    = 50 * time.Millisecond
	flipLeast   = 1000 // requests near a flip
	roundsAhead = 3    // by so many one side of the bound settles it
	roundsMost  = 7
)

// lightClient costs the cores, which it shares with the cluster that it measures, less than net/http does. It sends
// nothing twice.
var lightClient = &fasthttp.Client{MaxConnsPerHost: hotKeys + coldKeys, MaxIdemponentCallAttempts: 1,
	ReadTimeout: cluster.Patience, WriteTimeout: cluster.Patience}

func light(method, target string, value []byte) (answer, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.Header.SetMethod(method)
	request.SetRequestURI(target)
	request.SetBody(value)
	err := lightClient.Do(request, response)
	got := answer{status: response.StatusCode(), body: bytes.Clone(response.Body())}
	if retryAfter := response.Header.Peek("Retry-After"); retryAfter != nil {
		got.header = http.Header{"Retry-After": {string(retryAfter)}}
	}
	return got, err
}

// flips watches slots change their primary.
type flips struct {
	mu      sync.Mutex
	slots   map[api.Slot]api.SlotConfig
	moments []time.Time
}

func (f *flips) take(feed api.SlotFeed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, slot := range feed.Slots {
		if before := f.slots[slot.Slot].Primary; before != "" && before != slot.Primary {
			f.moments = append(f.moments, time.Now())
		}
		f.slots[slot.Slot] = slot
	}
}

// await waits until what was heard of the slots is as wished. It asks nobody, which would be load.
func (f *flips) await(c *cluster.Cluster, what string, wished func(iter.Seq[api.SlotConfig]) bool) {
	c.Await(what, func(context.Context) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return wished(maps.Values(f.slots))
	})
}

// TestMovesAreInvisible: a node joins and another is drained, under load. No client sees an error, nor a gap
// worth mentioning, in slots that move. Every round must be without errors; of the gaps the median round counts, for
// all processes and clients share this machine's few cores. There are as many rounds as it takes to tell on which side
// of the bound that is. What counts is how much longer the longest gaps are than in as long a time in which nothing moves.
// Time in which the disk stands still is in no gap, with moves or without: writes wait for it whether slots move or not.
func TestMovesAreInvisible(t *testing.T) {
	for _, replicas := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("R=%d", replicas), func(t *testing.T) {
			var within, beyond []time.Duration
			for undecided(len(within), len(beyond)) && !t.Failed() {
				var more time.Duration
				t.Run("round", func(t *testing.T) { more = moveUnderLoad(t, replicas) })
				if more <= gapMoreMax {
					within = append(within, more)
				} else {
					beyond = append(beyond, more)
				}
			}
			if len(beyond) > len(within) {
				t.Errorf("moves add %v to the longest gaps of keys, and %v in other rounds; the limit is %v", beyond, within, gapMoreMax)
			}
		})
	}
}

// undecided reports whether rounds have yet to tell on which side of the bound their median is: neither side is far ahead,
// nor has more than half of all that there may be.
func undecided(within, beyond int) bool {
	most, least := max(within, beyond), min(within, beyond)
	return most-least < roundsAhead && 2*most < roundsMost
}

// moveUnderLoad is one round: how much longer the longest gaps of keys are while slots move than before and after.
func moveUnderLoad(t *testing.T, replicas int) (more time.Duration) {
	quieten(t)
	c := managed(t, replicas, 3, 256)
	disk := startDiskClock(t, os.TempDir())
	watched, stop := context.WithCancel(t.Context())
	seen := &flips{slots: map[api.Slot]api.SlotConfig{}}
	var watching sync.WaitGroup
	watching.Go(func() { _ = c.Client.WatchSlots(watched, seen.take) })
	defer watching.Wait()
	defer stop()

	hot := startSteady(t, c, light, keysOf(t, c, "n1", hotKeys), hotEvery)
	cold := startSteady(t, c, light, coldOnes(), coldEvery)
	pause(calmBefore / 3) // of connections being made
	began := time.Now()
	pause(calmBefore)
	moving := time.Now()
	c.AddNode()
	seen.await(c, "n4 to take slots", func(slots iter.Seq[api.SlotConfig]) bool {
		for slot := range slots {
			if slot.Primary == "n4" {
				return whole(slots, replicas)
			}
		}
		return false
	})
	stead(t, c, "nodes", "drain", "n1")
	awaitMoved(t, c, "n1", func(slots int) bool { return slots == 0 })
	seen.await(c, "every slot to be where it should be", settled)
	moved := time.Now()
	pause(moved.Sub(moving) - calmBefore)
	ended := time.Now()
	hot.end()
	cold.end()

	hot.flawless(t, flipLeast)
	cold.flawless(t, 1)
	before, moves, after := period{began, moving}, period{moving, moved}, period{moved, ended}
	calm := func(from, to time.Time) bool { return before.holds(from, to) || after.holds(from, to) }
	baseline, during := percentile(hot.gaps(calm, disk.between), 0.99), percentile(hot.gaps(moves.touches, disk.between), 0.99)
	seen.mu.Lock()
	defer seen.mu.Unlock()
	near := hot.near(seen.moments, flipNear)
	t.Logf("R=%d: %d flips in %v, %d requests near one; longest gaps of keys, p99: %v without moves, %v with; the disk stood still for %v and %v",
		replicas, len(seen.moments), moved.Sub(moving).Round(time.Millisecond), near, baseline, during,
		(disk.stood(began, moving) + disk.stood(moved, ended)).Round(time.Millisecond), disk.stood(moving, moved).Round(time.Millisecond))
	if near < flipLeast {
		t.Errorf("%d requests near a flip are too few to mean anything", near)
	}
	return max(0, during-baseline)
}

// period is a time in which slots move, or do not.
type period struct{ from, to time.Time }

func (p period) holds(from, to time.Time) bool   { return !from.Before(p.from) && !to.After(p.to) }
func (p period) touches(from, to time.Time) bool { return to.After(p.from) && from.Before(p.to) }

// settled reports whether every slot is with those who should hold it, and with nobody else.
func settled(slots iter.Seq[api.SlotConfig]) bool {
	for slot := range slots {
		if len(slot.Want) == 0 || slot.Primary != slot.Want[0] || len(slot.ISR) != len(slot.Want) {
			return false
		}
		for _, replica := range slot.ISR {
			if !slices.Contains(slot.Want, replica.Node) {
				return false
			}
		}
	}
	return true
}

func coldOnes() (keys [][]byte) {
	for i := range coldKeys {
		keys = append(keys, fmt.Appendf(nil, "cold-%d", i))
	}
	return keys
}

func awaitMoved(t *testing.T, c *cluster.Cluster, id api.NodeID, enough func(slots int) bool) {
	t.Helper()
	c.Await("slots of "+string(id)+" to move", func(ctx context.Context) bool {
		node, err := c.Client.Node(ctx, id)
		return err == nil && enough(node.Slots)
	})
}
