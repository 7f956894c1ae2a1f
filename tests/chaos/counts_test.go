package chaos

import "testing"

// TestSecondsOutsideCuts: a second counts if no cut touched it, and is served if a write was acknowledged in it.
func TestSecondsOutsideCuts(t *testing.T) {
	c := &counts{tally: NewTally(1, "managed", 2)}
	acknowledge := func() { c.do(func(t *Tally) { t.Acks++ }) }
	f := func(seconds, served int) {
		t.Helper()
		c.second()
		if now := c.snapshot(); now.Seconds != seconds || now.Served != served {
			t.Errorf("%d of %d seconds, want %d of %d", now.Served, now.Seconds, served, seconds)
		}
	}
	acknowledge()
	f(1, 1)
	f(2, 1)
	c.cut(+1)
	f(2, 1)
	f(2, 1)
	c.cut(-1)
	acknowledge()
	f(2, 1)
	c.cut(+1)
	c.cut(-1)
	f(2, 1)
	acknowledge()
	f(3, 2)
}
