// Package simulate compares ways to place keys on nodes: modular hashing, a ring of virtual nodes,
// rendezvous, jump, Maglev, and Stead's slots. It asks each who holds every key before and after a
// change of the nodes, and counts what moved and how even the load was.
//
// It owns the schemes, the keys and the counting. Clock, files and terminals are its caller's.
//
// Its invariant: apart from the times, the same Config and keys give the same Report.
package simulate

import (
	"errors"
	"fmt"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Limits of a simulation.
const (
	NodesMax = 10_000
	KeysMax  = 1_000_000_000
	// weightSumMax bounds the lists in which a node stands as often as it weighs.
	weightSumMax = 1_000_000
)

// Config says which change of which cluster is simulated.
type Config struct {
	Nodes       int // before the change
	Add, Remove int // how many of them come and go
	Keys        int // to make up; 0 when the caller brings its own
	// Weights of the nodes by their order, those that come being last; what is not listed weighs 1.
	Weights []int
	Bits    ring.Bits // Stead's ring has 2^Bits slots
	Seed    uint64
}

// Validate reports what cannot be simulated.
func (c Config) Validate() error {
	switch {
	case c.Nodes < 1 || c.Nodes > NodesMax:
		return fmt.Errorf("nodes: %d is not between 1 and %d", c.Nodes, NodesMax)
	case c.Add < 0 || c.Add > NodesMax:
		return fmt.Errorf("add: %d is not between 0 and %d", c.Add, NodesMax)
	case c.Remove < 0 || c.Remove >= c.Nodes:
		return fmt.Errorf("remove: %d is not between 0 and %d, one fewer than the nodes", c.Remove, c.Nodes-1)
	case c.Add == 0 && c.Remove == 0:
		return errors.New("add and remove are both 0: nothing would change")
	case c.Keys < 0 || c.Keys > KeysMax:
		return fmt.Errorf("keys: %d is not between 1 and %d", c.Keys, KeysMax)
	case len(c.Weights) > c.Nodes+c.Add:
		return fmt.Errorf("weights: %d are given for %d nodes", len(c.Weights), c.Nodes+c.Add)
	}
	for _, weight := range c.Weights {
		if weight < api.WeightMin || weight > api.WeightMax {
			return fmt.Errorf("weights: %d is not between %d and %d", weight, api.WeightMin, api.WeightMax)
		}
	}
	if before, after := c.nodes(); max(weightOf(before), weightOf(after)) > weightSumMax {
		return fmt.Errorf("weights: they sum up to more than %d", weightSumMax)
	}
	if c.Bits < api.SlotBitsMin || c.Bits > api.SlotBitsMax {
		return fmt.Errorf("slots: 2^%d is not between 2^%d and 2^%d", c.Bits, api.SlotBitsMin, api.SlotBitsMax)
	}
	return nil
}

// Report is what a simulation found.
type Report struct {
	Nodes   int      `json:"nodes"`
	Add     int      `json:"add"`
	Remove  int      `json:"remove"`
	Keys    int      `json:"keys"`
	Minimum int      `json:"minimum"` // keys that must move for the load to be even before and after
	Seed    uint64   `json:"seed"`
	Schemes []Scheme `json:"schemes"`
}

// Scheme is how one way of placing keys fared.
type Scheme struct {
	Name string `json:"scheme"`
	// Reason why it could not be measured; the figures are then 0.
	Reason string  `json:"reason,omitempty"`
	Moved  int     `json:"moved"`
	Share  float64 `json:"share"` // of the keys
	Ratio  float64 `json:"ratio"` // moved to minimum, 0 if that is 0; below 1, the nodes that came got less than their share
	// Peak load to the mean, weighed by the nodes' weights; 1 is even.
	PeakBefore float64 `json:"peak_before"`
	PeakAfter  float64 `json:"peak_after"`
	Nanos      float64 `json:"ns_per_lookup"` // of a hashed key
}

// Source hands out keys by the block; each call fills hashes and returns how many there were, 0 at the
// end.
type Source func(hashes []uint64) (int, error)

// Observer watches a simulation.
type Observer struct {
	Now func() time.Time
	// Progress is told how many keys were placed so far, after every block; it ends the simulation
	// with the error it returns.
	Progress func(keys int) error
}

// blockSize is how many keys each scheme places at a time: enough to time, few enough to stay cached.
const blockSize = 16 << 10

// Run places all keys of the source by every scheme.
func Run(config Config, source Source, observer Observer) (Report, error) {
	before, after := config.nodes()
	runs := contenders(config, before, after)
	keys, err := placeAll(runs, source, observer)
	if err != nil {
		return Report{}, err
	}
	report := Report{
		Nodes: config.Nodes, Add: config.Add, Remove: config.Remove,
		Keys: keys, Minimum: minimum(keys, before, after), Seed: config.Seed,
	}
	for _, run := range runs {
		report.Schemes = append(report.Schemes, run.scheme(keys, report.Minimum, before, after))
	}
	return report, nil
}

func placeAll(runs []*contender, source Source, observer Observer) (keys int, err error) {
	hashes := make([]uint64, blockSize)
	for {
		count, err := source(hashes)
		if err != nil || count == 0 {
			return keys, err
		}
		for _, run := range runs {
			if run.Reason == "" {
				run.place(hashes[:count], observer.Now)
			}
		}
		keys += count
		if err := observer.Progress(keys); err != nil {
			return keys, err
		}
	}
}

// minimum is how many keys must move if every node is to have its share before and after: what the
// nodes gain that gain.
func minimum(keys int, before, after []node) int {
	was := make(map[int]float64)
	for _, node := range before {
		was[node.id] = float64(node.weight) / float64(weightOf(before))
	}
	gained := 0.0
	for _, node := range after {
		gained += max(0, float64(node.weight)/float64(weightOf(after))-was[node.id])
	}
	return int(float64(keys)*gained + 0.5)
}
