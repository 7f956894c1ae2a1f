package replication

import (
	"context"
	"sync"
	"time"
)

// paceSlack is how much a pace lets through at once, in its time.
const paceSlack = 20 * time.Millisecond

// pace holds bytes back to a rate.
type pace struct {
	mu    sync.Mutex
	rate  uint64    // bytes per second; 0: any
	until time.Time // when what was let through is paid for
}

// wait returns once size bytes may go.
func (p *pace) wait(ctx context.Context, size int) error {
	pause := p.take(size, time.Now())
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

// take pays for size bytes, and returns how long to wait first.
func (p *pace) take(size int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		return 0
	}
	if p.until.Before(now) {
		p.until = now
	}
	pause := p.until.Sub(now) - paceSlack
	p.until = p.until.Add(time.Duration(float64(size) / float64(p.rate) * float64(time.Second)))
	return pause
}

// adjust sets the rate.
func (p *pace) adjust(rate uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
}
