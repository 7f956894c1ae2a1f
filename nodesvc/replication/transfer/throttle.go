package transfer

import (
	"context"
	"sync"
	"time"
)

// Rates unless told otherwise, in bytes per second.
const (
	RateOutDefault = 100_000_000
	RateInDefault  = 300_000_000
)

// burst is how much may go at once after a pause, in the time that it takes at the present rate.
const burst = 20 * time.Millisecond

// How requests hold copying back. A latency that doubled halves the rate; as long as it has not, each call gives
// a twentieth of the full rate back.
const (
	rateShareMin  = 16                   // the rate never falls below the full one divided by this
	recoverySteps = 20                   // calls of Adapt from a rate of nothing to the full one
	noticeable    = 2 * time.Millisecond // what is faster is fast enough, and mostly noise
	baselineSteps = 64                   // calls in which a latency that stays becomes what is usual
	idleSteps     = 8                    // the same, while nothing is copied
)

// Throttle lets octets through at a rate that its users share, in the order in which they ask.
type Throttle struct {
	mu    sync.Mutex
	full  float64       // bytes per second; 0: no bound
	rate  float64       // at the moment
	paid  time.Time     // when what was let through is paid for
	usual time.Duration // p99 of requests as it usually is; 0: not known
}

// NewThrottle lets rate bytes per second through; 0: any number.
func NewThrottle(rate uint64) *Throttle {
	return &Throttle{full: float64(rate), rate: float64(rate)}
}

// Wait returns once size bytes may go, or with the error of ctx.
func (t *Throttle) Wait(ctx context.Context, size int) error {
	pause := t.Reserve(size)
	if pause <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reserve takes a place for size bytes, and returns after how long it is their turn.
func (t *Throttle) Reserve(size int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full == 0 {
		return 0
	}
	now := time.Now()
	if earliest := now.Add(-burst); t.paid.Before(earliest) {
		t.paid = earliest
	}
	t.paid = t.paid.Add(time.Duration(float64(size) / t.rate * float64(time.Second)))
	return t.paid.Sub(now)
}

// Rate is how many bytes per second go through at the moment; 0: any number.
func (t *Throttle) Rate() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return uint64(t.rate)
}

// Adapt is told at even intervals, about once a second, how long requests took lately, 99 in 100 at most (0: there
// were none), and whether anything was copied meanwhile. What is usual is how long they take while nothing is.
func (t *Throttle) Adapt(p99 time.Duration, copying bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !copying {
		t.rate = t.full
		t.idle(p99)
		return
	}
	if p99 >= noticeable && t.usual > 0 && p99 >= 2*t.usual {
		t.rate = max(t.rate/2, t.full/rateShareMin)
	} else {
		t.rate = min(t.rate+t.full/recoverySteps, t.full)
	}
	switch {
	case p99 == 0:
	case t.usual == 0 || p99 < t.usual:
		t.usual = p99
	default:
		t.usual += (p99 - t.usual) / baselineSteps
	}
}

// idle learns what is usual: slower requests are not copying's doing.
func (t *Throttle) idle(p99 time.Duration) {
	switch {
	case p99 == 0:
	case t.usual == 0:
		t.usual = p99
	default:
		t.usual += (p99 - t.usual) / idleSteps
	}
}
