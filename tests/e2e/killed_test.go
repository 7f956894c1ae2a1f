//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

const (
	killedKeys  = 40 // of the node that is killed, and of each other one
	killedEvery = 40 * time.Millisecond
)

// failure is a request that was not answered with what it asked for.
type failure struct {
	begun, ended time.Time
	proxy        int
	method       string
	answer       answer
	err          error
}

func (f failure) String() string {
	return fmt.Sprintf("proxy %d, %s: after %v %d, Retry-After %q, %s %v",
		f.proxy+1, f.method, f.ended.Sub(f.begun).Round(time.Millisecond), f.answer.status, f.answer.header.Get("Retry-After"), f.answer.body, f.err)
}

// excused reports whether it says that it may be asked again, and when.
func (f failure) excused() bool {
	seconds, err := strconv.Atoi(f.answer.header.Get("Retry-After"))
	return f.err == nil && err == nil && seconds > 0 && slices.Contains([]int{502, 503, 504}, f.answer.status)
}

// witness writes and reads one key in turn, through one proxy, each request once.
type witness struct {
	key      []byte
	proxy    int
	phase    int      // of its turns: at any time some write while others read
	may      [][]byte // what the key may hold: what was acknowledged last, and what was asked for since
	served   int
	failures []failure
}

func (w *witness) watch(ctx context.Context, t *testing.T, proxy string) {
	ticker := time.NewTicker(killedEvery)
	defer ticker.Stop()
	for turn := 0; ctx.Err() == nil; turn++ {
		w.ask(t, turn, proxy)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (w *witness) ask(t *testing.T, turn int, proxy string) {
	method, value := http.MethodGet, []byte(nil)
	if turn == 0 || (turn+w.phase)%2 == 0 {
		method, value = http.MethodPut, fmt.Appendf(nil, "%s=%d", w.key, turn)
		w.may = append(w.may, value)
	}
	begun := time.Now()
	got, err := light(method, kvURL(proxy, w.key), value)
	switch {
	case err != nil || got.status/100 != 2:
		w.failures = append(w.failures, failure{begun, time.Now(), w.proxy, method, got, err})
		return
	case value != nil:
		w.may = [][]byte{value}
	case !slices.ContainsFunc(w.may, func(held []byte) bool { return bytes.Equal(held, got.body) }):
		t.Errorf("%s holds %s, not one of %s", w.key, got.body, w.may)
	}
	w.served++
}

// startWitnesses watches keys until it is told to end, and then waits for the answers to what was asked.
func startWitnesses(t *testing.T, c *cluster.Cluster, keys [][]byte) (all []*witness, end func()) {
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	for i, key := range keys {
		w := &witness{key: key, proxy: i % len(c.ProxyAddrs), phase: i / len(c.ProxyAddrs) % 2}
		all = append(all, w)
		watching.Go(func() {
			pause(killedEvery * time.Duration(i) / time.Duration(len(keys)))
			w.watch(ctx, t, c.ProxyAddrs[w.proxy])
		})
	}
	end = func() { stop(); watching.Wait() }
	t.Cleanup(end) // of a test that gave up
	return all, end
}

// TestNodeKilledUnderLoad: kill -9 of a node with requests in flight to it, by stead-mux and HTTP/1.1. They fail, each
// with word of when to ask again, but for reads that a proxy may repeat; no other does: those that come for it until
// another is promoted wait for that.
func TestNodeKilledUnderLoad(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1, Nodes: 3, State: api.StateManaged, Replicas: 2,
		ControlArgs: []string{"--slots", "256", "--plan-delay", "100ms"}})
	c.AddProxy("--mux", "off")
	c.AwaitProxy(1)
	awaitWhole(t, c, 2)
	victims := keysOf(t, c, "n1", killedKeys)
	others := append(keysOf(t, c, "n2", killedKeys), keysOf(t, c, "n3", killedKeys)...)
	all, end := startWitnesses(t, c, append(slices.Clone(victims), others...))
	pause(time.Second)
	c.Nodes[0].Pause() // what is asked of it now is in flight when it is killed
	paused := time.Now()
	pause(3 * killedEvery)
	c.Nodes[0].Kill()
	killed := time.Now()
	c.Await("others to be promoted", func(ctx context.Context) bool {
		feed, err := c.Client.Slots(ctx)
		return err == nil && !slices.ContainsFunc(feed.Slots, func(slot api.SlotConfig) bool { return slot.Primary == "n1" })
	})
	c.AwaitConverged()
	promoted := time.Now()
	pause(time.Second)
	end()

	served, inFlight := 0, [2]int{}
	statuses := map[string]int{}
	for i, w := range all {
		served += w.served
		for _, f := range w.failures {
			statuses[fmt.Sprintf("%s %d", f.method, f.answer.status)]++
			switch {
			case i >= len(victims):
				t.Errorf("%s is not the killed node's: %v", w.key, f)
			case f.ended.Before(paused) || f.begun.After(killed):
				t.Errorf("%s was not in flight: it ended %v before the node was killed, or began %v after that: %v",
					w.key, killed.Sub(f.ended), f.begun.Sub(killed), f)
			case !f.excused():
				t.Errorf("%s: %v", w.key, f)
			default:
				inFlight[f.proxy]++
			}
		}
	}
	t.Logf("%d served; failed: %d in flight by mux, %d by HTTP/1.1 (%v); none of those that came until the promotion, %v later",
		served, inFlight[0], inFlight[1], statuses, promoted.Sub(killed).Round(time.Millisecond))
	if inFlight[0] == 0 || inFlight[1] == 0 || served < 1000 {
		t.Error("too little load to mean anything")
	}
}
