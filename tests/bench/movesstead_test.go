//go:build bench && linux

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

const (
	stalledAfter = time.Minute            // without a slot that changes
	lookEvery    = 100 * time.Millisecond // at how far the slots are
)

// growStead does it with a cluster of one member, one proxy and nodes of the KV: every value is synced before
// it is acknowledged. Extra flags are each node's.
func growStead(nodeArgs ...string) func(testing.TB, values) moved {
	return func(t testing.TB, all values) (m moved) {
		c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1, Nodes: 3, State: api.StateManaged, Replicas: *replicas, NodeArgs: nodeArgs})
		awaitSettled(t, c, 3)
		proxy := newKV(c.ProxyAddrs[0])
		defer proxy.http.CloseIdleConnections()
		m.load = all.load(t, func(i int, value []byte) error { return proxy.put(t.Context(), keyOf(i), value) })
		start := time.Now()
		c.AddNode()
		m.join = awaitMoving(t, c)
		before, copied := workOf(t, c.Nodes...), copiedBy(t, c)
		start = start.Add(m.join)
		awaitSettled(t, c, 4)
		m.move = time.Since(start)
		m.used, m.copied = workOf(t, c.Nodes...).since(before), copiedBy(t, c)-copied
		all.check(t, func(i int) ([]byte, error) { return proxy.get(t.Context(), keyOf(i)) })
		m.disk = diskAlone(t, m.copied)
		return m
	}
}

// awaitMoving waits until slots are wanted elsewhere than they are, and says how long that took.
func awaitMoving(t testing.TB, c *cluster.Cluster) time.Duration {
	t.Helper()
	return awaitSlots(t, c, "the slots to be planned anew", func(feed api.SlotFeed) bool {
		return len(feed.Nodes) == len(c.Nodes) && len(wantedBy(feed)) == len(c.Nodes)
	})
}

// awaitSettled waits until every slot is where it is wanted, and each of so many nodes is wanted somewhere.
func awaitSettled(t testing.TB, c *cluster.Cluster, nodes int) {
	t.Helper()
	everybodyIsUp := func(api.Replica) bool { return true }
	awaitSlots(t, c, "the slots to be where they are wanted", func(feed api.SlotFeed) bool {
		return len(wantedBy(feed)) == nodes && !slices.ContainsFunc(feed.Slots, func(slot api.SlotConfig) bool {
			return slot.Standing(everybodyIsUp) != api.SlotSettled
		})
	})
}

// wantedBy counts the slots that each node should hold.
func wantedBy(feed api.SlotFeed) map[api.NodeID]int {
	slots := make(map[api.NodeID]int)
	for _, slot := range feed.Slots {
		for _, node := range slot.Want {
			slots[node]++
		}
	}
	return slots
}

func awaitSlots(t testing.TB, c *cluster.Cluster, what string, reached func(api.SlotFeed) bool) time.Duration {
	t.Helper()
	start, changed := time.Now(), time.Now()
	var last api.SlotCursor
	for {
		feed, err := c.Client.Slots(t.Context())
		if err == nil && reached(feed) {
			return time.Since(start)
		}
		if feed.Cursor != last {
			last, changed = feed.Cursor, time.Now()
		}
		if time.Since(changed) > stalledAfter {
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
		time.Sleep(lookEvery)
	}
}

// copiedBy is how many bytes all nodes have received from each other.
func copiedBy(t testing.TB, c *cluster.Cluster) (sum int64) {
	t.Helper()
	for _, address := range c.NodeAddrs {
		sum += copiedTo(t, address)
	}
	return sum
}

func copiedTo(t testing.TB, address string) int64 {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, behind, found := strings.Cut(string(text), "\nstead_node_peer_received_bytes_total ")
	if !found {
		return 0 // its slots are not open yet
	}
	number, _, _ := strings.Cut(behind, "\n")
	copied, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(copied)
}

// kv asks a proxy for values.
type kv struct {
	http *http.Client
	url  string
}

func newKV(proxy string) *kv {
	return &kv{&http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: loaders}}, "http://" + proxy + "/kv/"}
}

func (k *kv) put(ctx context.Context, key string, value []byte) error {
	_, err := k.do(ctx, http.MethodPut, key, value)
	return err
}

func (k *kv) get(ctx context.Context, key string) ([]byte, error) {
	return k.do(ctx, http.MethodGet, key, nil)
}

func (k *kv) do(ctx context.Context, method, key string, value []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, k.url+key, bytes.NewReader(value))
	if err != nil {
		return nil, err
	}
	response, err := k.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", method, key, response.Status, body)
	}
	return body, err
}
