package chaos

import (
	"maps"
	"sync"
)

// counts is the tally while it grows, and what the clock of seconds needs beside it.
type counts struct {
	mu        sync.Mutex
	tally     Tally
	cuts      int  // under way
	disturbed bool // a cut was under way in this second
	before    int  // acknowledgements when the second began
}

func (c *counts) do(change func(*Tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.tally)
}

// cut tells that a cut begins or ends.
func (c *counts) cut(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts += by
	c.disturbed = true
}

// second ends a second: it counts if nobody was cut off in it.
func (c *counts) second() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.disturbed && c.cuts == 0 {
		c.tally.Seconds++
		if c.tally.Acks > c.before {
			c.tally.Served++
		}
	}
	c.disturbed, c.before = c.cuts > 0, c.tally.Acks
}

// snapshot is the tally now.
func (c *counts) snapshot() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.tally
	now.Faults, now.Answers, now.Exits = maps.Clone(now.Faults), maps.Clone(now.Answers), maps.Clone(now.Exits)
	return now
}
