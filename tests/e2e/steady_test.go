//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// steady is load on chosen keys: one client a key, which writes and reads it in turn, each request at its time,
// and knows what it must read.
type steady struct {
	proxies []string
	send    sender
	stop    context.CancelFunc
	all     sync.WaitGroup

	mu      sync.Mutex
	answers map[string][]time.Time // by key
	last    map[string][]byte      // acknowledged last
	failed  []string
}

// sender sends one request.
type sender func(method, target string, value []byte) (answer, error)

// hardy has proxies come and go: it sends again what found its connection closed.
func hardy(method, target string, value []byte) (answer, error) {
	return try(context.Background(), method, target, value)
}

// startSteady sends one request every so often for each key until it is ended; the keys take turns, so that they do
// not all ask at once, and half of them read while the others write.
func startSteady(t *testing.T, c *cluster.Cluster, send sender, keys [][]byte, every time.Duration) *steady {
	ctx, stop := context.WithCancel(t.Context())
	s := &steady{proxies: c.ProxyAddrs, send: send, stop: stop, answers: map[string][]time.Time{}, last: map[string][]byte{}}
	for i, key := range keys {
		s.all.Go(func() {
			pause(every*time.Duration(i)/time.Duration(len(keys)) + every*time.Duration(i%2))
			s.client(ctx, i, key, every)
		})
	}
	return s
}

func (s *steady) client(ctx context.Context, client int, key []byte, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		s.request(client+i, key, i)
		select {
		case <-ticker.C: // its turn went by: not at once, with all others that waited for the same, but at its next
		default:
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (s *steady) request(proxy int, key []byte, i int) {
	method, value := http.MethodGet, []byte(nil)
	if i%2 == 0 {
		method, value = http.MethodPut, fmt.Appendf(nil, "%s=%d", key, i)
	}
	got, err := s.ask(method, proxy, key, value)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[string(key)] = append(s.answers[string(key)], time.Now())
	switch {
	case err != nil || got.status/100 != 2:
		s.failed = append(s.failed, fmt.Sprintf("%s %s: %d %s %v", method, key, got.status, got.body, err))
	case value != nil:
		s.last[string(key)] = value
	case !bytes.Equal(got.body, s.last[string(key)]):
		s.failed = append(s.failed, fmt.Sprintf("%s holds %s, acknowledged was %s", key, got.body, s.last[string(key)]))
	}
}

// ask asks one proxy, and the other where the first took no connection: that is the client's part in a restart
// of proxies.
func (s *steady) ask(method string, proxy int, key, value []byte) (answer, error) {
	var got answer
	var err error
	for next := range s.proxies {
		got, err = s.send(method, kvURL(s.proxies[(proxy+next)%len(s.proxies)], key), value)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	return got, err
}

// end stops the clients and waits for the answers to what they asked.
func (s *steady) end() {
	s.stop()
	s.all.Wait()
}

// flawless fails the test if any request failed, or there were fewer than least.
func (s *steady) flawless(t *testing.T, least int) {
	t.Helper()
	requests := 0
	for _, answers := range s.answers {
		requests += len(answers)
	}
	t.Logf("%d requests, %d failed", requests, len(s.failed))
	for _, failure := range s.failed[:min(len(s.failed), 10)] {
		t.Error(failure)
	}
	if requests < least {
		t.Errorf("%d requests are too few to mean anything", requests)
	}
}

// gaps are, key by key, the longest times between two answers, shortest first, of those that count. between says how long
// it is from one answer to the next.
func (s *steady) gaps(count func(from, to time.Time) bool, between func(from, to time.Time) time.Duration) (longest []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, answers := range s.answers {
		var most time.Duration
		for i := 1; i < len(answers); i++ {
			if count(answers[i-1], answers[i]) {
				most = max(most, between(answers[i-1], answers[i]))
			}
		}
		longest = append(longest, most)
	}
	slices.Sort(longest)
	return longest
}

// near counts the answers that came within so long of one of the moments, which are in order.
func (s *steady) near(moments []time.Time, within time.Duration) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, answers := range s.answers {
		for _, at := range answers {
			i, _ := slices.BinarySearchFunc(moments, at.Add(-within), time.Time.Compare)
			if i < len(moments) && moments[i].Before(at.Add(within)) {
				count++
			}
		}
	}
	return count
}

func percentile(sorted []time.Duration, share float64) time.Duration {
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// managed starts a cluster whose nodes keep state of so many replicas, and waits until every slot has them.
func managed(t *testing.T, replicas, nodes, slots int) *cluster.Cluster {
	t.Helper()
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: nodes, State: api.StateManaged, Replicas: replicas,
		ControlArgs: []string{"--slots", fmt.Sprint(slots), "--plan-delay", "100ms"}})
	awaitWhole(t, c, replicas)
	return c
}

// awaitWhole waits until every slot has a primary, its replicas, and is where it should be.
func awaitWhole(t *testing.T, c *cluster.Cluster, replicas int) {
	t.Helper()
	c.Await("every slot to be whole", func(ctx context.Context) bool {
		feed, err := c.Client.Slots(ctx)
		return err == nil && whole(slices.Values(feed.Slots), replicas)
	})
}

func whole(slots iter.Seq[api.SlotConfig], replicas int) bool {
	for slot := range slots {
		if slot.Primary == "" || len(slot.ISR) != replicas || len(slot.Want) > 0 && slot.Want[0] != slot.Primary {
			return false
		}
	}
	return true
}

// keysOf finds one key for each of so many slots that a node is primary of; "" means any node.
func keysOf(t *testing.T, c *cluster.Cluster, id api.NodeID, count int) (keys [][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	view, err := c.Client.Ring(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[api.Slot]bool{}
	for i := 0; i < 1_000_000 && len(keys) < count; i++ {
		slot, _, node, found := view.Locate(keyNumber(i))
		if found && !seen[slot] && (id == "" || node.ID == id) {
			seen[slot], keys = true, append(keys, keyNumber(i))
		}
	}
	if len(keys) < count {
		t.Fatalf("%d slots of %q have keys, want %d", len(keys), id, count)
	}
	return keys
}

// long reports whether tests run in full, as `make e2e-long` has them: it takes many times as long.
func long(few, full int) int {
	if longRun {
		return full
	}
	return few
}
