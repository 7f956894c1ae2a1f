package ownership_test

import (
	"flag"
	"testing"
)

var large = flag.Bool("large", false, "search the large bounds, as make model does; minutes")

func sole() set { return set{memberOf(0, 0)} }
func pair() set { return set{memberOf(0, 0), memberOf(1, 0)} }
func trio() set { return set{memberOf(0, 0), memberOf(1, 0), memberOf(2, 0)} }

// small are the bounds of go test. Each is searched to its end; least says how many states that are.
var small = []bounds{
	{name: "a copy joined by another, disk", nodes: 2, slots: 1, epochs: 3, writes: 1, crashes: 1, isr: sole(), least: 130_000},
	{name: "two copies, disk", nodes: 2, slots: 1, epochs: 2, writes: 1, crashes: 1, suspicions: 1, reads: true, isr: pair(), least: 170_000},
	{name: "two copies, memory", nodes: 2, slots: 1, epochs: 2, writes: 1, crashes: 1, suspicions: 1, memory: true, isr: pair(), least: 90_000},
	{name: "two copies, memory, crashing twice", nodes: 2, slots: 1, epochs: 2, crashes: 2, memory: true, isr: pair(), least: 20_000},
	{name: "three nodes", nodes: 3, slots: 1, epochs: 2, writes: 1, isr: pair(), least: 100_000},
	{name: "two slots on the same nodes", nodes: 2, slots: 2, epochs: 2, crashes: 1, reads: true, isr: pair(), least: 100_000, most: 100_000},
	{name: "a restore", nodes: 2, slots: 1, epochs: 3, writes: 1, restores: 1, isr: pair(), awaitEverybody: true, least: 100_000},
}

// big are the bounds of make model, cut off at most states so that memory is bounded.
var big = []bounds{
	{name: "a copy joined by another, disk", nodes: 2, slots: 1, epochs: 4, writes: 2, crashes: 1, suspicions: 1, reads: true, isr: sole(), most: bigMost},
	{name: "two copies, disk", nodes: 2, slots: 1, epochs: 3, writes: 2, crashes: 1, suspicions: 1, reads: true, isr: pair(), most: bigMost},
	{name: "two copies, disk, two crashes", nodes: 2, slots: 1, epochs: 4, writes: 1, crashes: 2, isr: pair(), most: bigMost},
	{name: "two copies, memory", nodes: 2, slots: 1, epochs: 4, writes: 1, crashes: 2, suspicions: 1, memory: true, isr: pair(), most: bigMost},
	{name: "three nodes, two copies", nodes: 3, slots: 1, epochs: 3, writes: 1, suspicions: 1, isr: pair(), most: bigMost},
	{name: "three copies", nodes: 3, slots: 1, epochs: 3, writes: 1, crashes: 1, suspicions: 1, isr: trio(), most: bigMost},
	{name: "two slots on the same nodes", nodes: 2, slots: 2, epochs: 2, writes: 1, crashes: 1, suspicions: 1, reads: true, isr: pair(), most: bigMost},
	{name: "a restore", nodes: 2, slots: 1, epochs: 4, writes: 1, crashes: 1, suspicions: 1, restores: 1, isr: sole(), awaitEverybody: true, most: bigMost},
	{name: "a restore of two copies", nodes: 2, slots: 1, epochs: 4, writes: 1, suspicions: 1, restores: 1, isr: pair(), awaitEverybody: true, most: bigMost},
}

// bigMost bounds the memory of a search to about 6 GB.
const bigMost = 25_000_000

func TestModel(t *testing.T) {
	var taken [actionCount]int
	var asked [proposalEnd]int
	for _, within := range small {
		if raced {
			within.most, within.least = 10_000, 10_000
		}
		t.Run(within.name, func(t *testing.T) {
			found := holds(t, within, nil)
			for action, count := range found.taken {
				taken[action] += count
			}
			for p, count := range found.accepted {
				asked[p] += count
			}
		})
	}
	if raced {
		return
	}
	for action, count := range taken {
		if elsewhere := action == int(misbehaves) || action == int(wantChanges); count == 0 && !elsewhere {
			t.Errorf("it never happens that %s", stepWords[action])
		}
	}
	for _, p := range []proposal{expand + proposal(memberOf(1, 0)), shrink + 0b10, abort, yield + 1, transfer + 1, transferSole + 1} {
		if asked[p] == 0 {
			t.Errorf("%s is never accepted", p)
		}
	}
}

func TestModelWithinLargeBounds(t *testing.T) {
	if !*large {
		t.Skip("for make model")
	}
	for _, within := range big {
		t.Run(within.name, func(t *testing.T) { holds(t, within, t.Logf) })
	}
}

// holds searches a sound model, and fails if anything is broken or too little was searched.
func holds(t *testing.T, within bounds, progress func(string, ...any)) outcome {
	t.Helper()
	search := search{model: &model{bounds: within}, limit: within.most, progress: progress}
	found := search.run()
	t.Log(found)
	if found.broken != "" {
		t.Error("the protocol is broken")
	}
	if found.states < within.least {
		t.Errorf("it saw less than %d states: what is searched has shrunk", within.least)
	}
	return found
}
