package simulate

import (
	"time"

	"github.com/stead-io/stead/api/ring"
)

// placement is one scheme over one list of nodes: it writes the holder's id of each hash. It takes many
// at once, so that what is timed is the scheme and not the calls to it.
type placement interface {
	locate(hashes []uint64, holders []int32)
}

// contender is a scheme under way: its placements before and after the change, and what was counted.
type contender struct {
	Name, Reason  string
	before, after placement

	moved       int
	loads       [2][]int // keys by node id, before and after
	was, is     []int32  // holders of one block's keys
	looked      time.Duration
	looksForAll int
}

// contenders are the schemes compared, in the order in which they are shown.
func contenders(config Config, before, after []node) []*contender {
	hasher := config.hasher()
	stead := newSlots(config.Bits, before)
	mean := float64(weightOf(before)) / float64(len(before))
	runs := []*contender{
		{Name: "modular", before: newModular(before), after: newModular(after)},
		{Name: "vnode ring", before: newVirtualRing(hasher, before, mean), after: newVirtualRing(hasher, after, mean)},
		{Name: "rendezvous", Reason: tooManyToScore(before, after), before: newRendezvous(hasher, before), after: newRendezvous(hasher, after)},
		{Name: "jump", before: newJump(before), after: newJump(after)},
		{Name: "maglev", before: newMaglev(hasher, before), after: newMaglev(hasher, after)},
		{Name: "stead slots", before: stead, after: stead.with(after)},
	}
	if config.Remove > 0 {
		runs[3].Reason = "only the last node can be removed"
	}
	for _, run := range runs {
		run.loads = [2][]int{make([]int, config.Nodes+config.Add), make([]int, config.Nodes+config.Add)}
		run.was, run.is = make([]int32, blockSize), make([]int32, blockSize)
	}
	return runs
}

// place looks one block of keys up, before and after the change, and counts.
func (c *contender) place(hashes []uint64, now func() time.Time) {
	was, is := c.was[:len(hashes)], c.is[:len(hashes)]
	start := now()
	c.before.locate(hashes, was)
	c.after.locate(hashes, is)
	c.looked += now().Sub(start)
	c.looksForAll += 2 * len(hashes)
	for i, holder := range was {
		c.loads[0][holder]++
		c.loads[1][is[i]]++
		if holder != is[i] {
			c.moved++
		}
	}
}

func (c *contender) scheme(keys, minimum int, before, after []node) Scheme {
	scheme := Scheme{Name: c.Name, Reason: c.Reason}
	if c.Reason != "" || keys == 0 {
		return scheme
	}
	scheme.Moved = c.moved
	scheme.Share = float64(c.moved) / float64(keys)
	if minimum > 0 {
		scheme.Ratio = float64(c.moved) / float64(minimum)
	}
	scheme.PeakBefore, scheme.PeakAfter = peak(c.loads[0], before), peak(c.loads[1], after)
	scheme.Nanos = float64(c.looked.Nanoseconds()) / float64(c.looksForAll)
	return scheme
}

// peak is the highest load for its weight, to the mean.
func peak(loads []int, nodes []node) float64 {
	keys, highest := 0, 0.0
	for _, node := range nodes {
		keys += loads[node.id]
		highest = max(highest, float64(loads[node.id])/float64(node.weight))
	}
	return highest * float64(weightOf(nodes)) / float64(keys)
}

// seats lists node ids, each as often as the node weighs.
func seats(nodes []node) []int32 {
	var list []int32
	for _, node := range nodes {
		for range node.weight {
			list = append(list, int32(node.id))
		}
	}
	return list
}

// hashOf is a node's place on the circle.
func hashOf(hasher ring.Hasher, n node) uint64 { return hasher.Hash([]byte(n.name())) }
