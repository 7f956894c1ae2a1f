package inbound

import "time"

// deadline remembers what was set on a socket: moving a timer costs more than looking at it.
type deadline struct{ at time.Time }

// set moves the deadline to a duration from now.
func (d *deadline) set(apply func(time.Time) error, after time.Duration) {
	d.at = time.Now().Add(after)
	_ = apply(d.at)
}

// extend moves the deadline to about a duration from now: it leaves one that is not more than an
// eighth nearer, nor farther.
func (d *deadline) extend(apply func(time.Time) error, after time.Duration) {
	want := time.Now().Add(after)
	if ahead := want.Sub(d.at); 0 <= ahead && ahead <= after/8 {
		return
	}
	d.at = want
	_ = apply(want)
}
