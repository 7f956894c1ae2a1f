package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces tries: the n-th failure in a row waits a random time below start·2^n, at most most.
// The jitter is full, so clients that failed together do not come back together (Brooker,
// "Exponential Backoff And Jitter", 2015).
type backoff struct{ start, most time.Duration }

var (
	// callBackoff follows each round over all members. It stays low: a new leader is elected within a
	// second, and the call that waits for it should not wait much longer.
	callBackoff = backoff{start: 25 * time.Millisecond, most: 250 * time.Millisecond}
	// watchBackoff follows each failed poll.
	watchBackoff = backoff{start: 50 * time.Millisecond, most: 2 * time.Second}
)

const doublingsMax = 10

func (b backoff) after(failures int) time.Duration {
	span := min(b.most, b.start<<min(failures, doublingsMax))
	return rand.N(span)
}

// wait returns after a while, or sooner with the context's error.
func wait(ctx context.Context, while time.Duration) error {
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
