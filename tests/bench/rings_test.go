//go:build bench

package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/dgryski/go-jump"
	"github.com/dgryski/go-rendezvous"
	"github.com/golang/groupcache/consistenthash"
	"github.com/serialx/hashring"
	"github.com/stathat/consistent"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// finder is a ring under test: it finds the node of a key, as its users call it.
type finder func(key string) string

// peer makes a ring of nodes; the same keys are looked up in all of them.
type peer struct {
	name string
	make func(testing.TB, []string) finder
}

// peers are the rings compared, each with the settings its own documentation or main user takes.
var peers = []peer{
	{"stead", steadRing},
	{"serialx/hashring", func(_ testing.TB, nodes []string) finder {
		r := hashring.New(nodes)
		return func(key string) string { node, _ := r.GetNode(key); return node }
	}},
	{"stathat/consistent", func(_ testing.TB, nodes []string) finder {
		r := consistent.New()
		r.Set(nodes)
		return func(key string) string { node, _ := r.Get(key); return node }
	}},
	{"groupcache", func(_ testing.TB, nodes []string) finder {
		const replicas = 50 // groupcache's own default
		r := consistenthash.New(replicas, nil)
		r.Add(nodes...)
		return r.Get
	}},
	{"go-rendezvous", func(_ testing.TB, nodes []string) finder {
		var hasher ring.Hasher
		r := rendezvous.New(nodes, func(text string) uint64 { return hasher.Hash([]byte(text)) })
		return r.Lookup
	}},
	{"go-jump", func(_ testing.TB, nodes []string) finder {
		var hasher ring.Hasher
		return func(key string) string { return nodes[jump.Hash(hasher.Hash([]byte(key)), len(nodes))] }
	}},
}

// steadRing is the view a proxy routes by, made by the assigner: for the round number of nodes first,
// and changed from there for those beyond it, as in a cluster.
func steadRing(t testing.TB, nodes []string) finder {
	settings := api.Settings{
		Service: "bench", State: api.StateNone, NoKey: api.NoKeyReject, Keys: []string{"query:k"},
		SlotBits: steadBits, Replicas: 1, Hash: api.HashSipHash24, HashKey: "000102030405060708090a0b0c0d0e0f",
	}
	table := ring.NewTable("0123456789abcdef0123456789abcdef", steadBits, 1)
	table.Version = api.Version{Generation: 1, Number: 1}
	var candidates []ring.Candidate
	for i, name := range nodes {
		table.Nodes = append(table.Nodes, ring.Node{ID: api.NodeID(name), Address: "127.0.0.1:80", Status: ring.StatusUp})
		candidates = append(candidates, ring.Candidate{Index: ring.NodeIndex(i), ID: api.NodeID(name), Weight: 1})
	}
	for _, some := range [][]ring.Candidate{candidates[:len(nodes)-len(nodes)%10], candidates} {
		table.Owners = ring.Assign(table.Owners, 1, some).Want
	}
	view, err := ring.NewView(settings, table)
	if err != nil {
		t.Fatal(err)
	}
	return func(key string) string {
		_, _, node, _ := view.Locate([]byte(key))
		return string(node.ID)
	}
}

const (
	steadBits     = 14
	ringKeys      = 1 << 16 // looked up in turn, of 16 octets
	movedKeys     = 1 << 19 // counted before and after a node comes
	rounds        = 15
	roundDuration = 8 * time.Millisecond
)

func keysOf(count int) []string {
	keys := make([]string, count)
	for i := range keys {
		keys[i] = fmt.Sprintf("tenant-%09d", i)
	}
	return keys
}

func namesOf(count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("node-%d", i)
	}
	return names
}

// TestRings looks the same keys up in Stead's ring and its peers', in turns, and prints medians.
func TestRings(t *testing.T) {
	keys := keysOf(movedKeys)
	var table figures
	table.add("nodes", "ring", "ns", "peer/ours", "allocs", "moved/min", "peak/mean")
	for _, count := range []int{10, 100, 1000} {
		var rings []finder
		for _, peer := range peers {
			rings = append(rings, peer.make(t, namesOf(count)))
		}
		nanos := race(rings, keys)
		for i, peer := range peers {
			place := 0
			allocs := testing.AllocsPerRun(1000, func() { rings[i](keys[place%ringKeys]); place++ })
			moved, peak := movement(rings[i], peer.make(t, namesOf(count+1)), keys, count)
			table.add(count, peer.name, fmt.Sprintf("%.1f", nanos[i]), fmt.Sprintf("%.1f", nanos[i]/nanos[0]),
				allocs, fmt.Sprintf("%.2f", moved), fmt.Sprintf("%.2f", peak))
		}
	}
	table.print(fmt.Sprintf("Rings side by side: a key of 16 octets to its node, median of %d rounds in turns; one node added", rounds))
}

// race times the rings in turns, so that what else the machine does meets them all alike.
func race(rings []finder, keys []string) []float64 {
	samples := make([][]float64, len(rings))
	for range rounds {
		for i, find := range rings {
			samples[i] = append(samples[i], timed(find, keys))
		}
	}
	medians := make([]float64, len(rings))
	for i, sample := range samples {
		medians[i] = quantile(sample, 0.5)
	}
	return medians
}

var found int

// timed is the nanoseconds a lookup takes, over roundDuration.
func timed(find finder, keys []string) float64 {
	const batch = 1024
	start, lookups := time.Now(), 0
	for time.Since(start) < roundDuration {
		for i := range batch {
			found += len(find(keys[(lookups+i)%ringKeys]))
		}
		lookups += batch
	}
	return float64(time.Since(start).Nanoseconds()) / float64(lookups)
}

// movement is the keys that move when a node comes, to the least possible, and the peak load then.
func movement(before, after finder, keys []string, nodes int) (ratio, peak float64) {
	moved, loads, highest := 0, make(map[string]int), 0
	for _, key := range keys {
		holder := after(key)
		loads[holder]++
		highest = max(highest, loads[holder])
		if holder != before(key) {
			moved++
		}
	}
	mean := float64(len(keys)) / float64(nodes+1)
	return float64(moved) / mean, float64(highest) / mean
}
