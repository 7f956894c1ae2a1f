package transfer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Senders that share a throttle have its rate together.
func TestThrottleIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(1000)
		start := time.Now()
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() {
				for range 50 {
					if err := throttle.Wait(t.Context(), 50); err != nil {
						t.Error(err)
					}
				}
			})
		}
		senders.Wait()
		if took := time.Since(start); took < 9900*time.Millisecond || took > 10*time.Second {
			t.Errorf("10,000 bytes at 1,000 a second took %v", took)
		}
	})
}

func TestThrottleSavesNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(1000)
		time.Sleep(time.Hour)
		if pause := throttle.Reserve(1000); pause != time.Second-burst {
			t.Errorf("after an hour of rest 1,000 bytes wait for %v", pause)
		}
	})
}

func TestThrottleEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := NewThrottle(1).Wait(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := NewThrottle(0).Wait(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := NewThrottle(0).Wait(t.Context(), 1<<40); err != nil {
			t.Error(err)
		}
	})
}

func TestThrottleAdapts(t *testing.T) {
	throttle := NewThrottle(RateOutDefault)
	run := func(times int, p99 time.Duration, want uint64) {
		t.Helper()
		for range times {
			throttle.Adapt(p99, true)
		}
		if got := throttle.Rate(); got != want {
			t.Errorf("after %d times %v the rate is %d, want %d", times, p99, got, want)
		}
	}
	run(10, 3*time.Millisecond, RateOutDefault)
	run(1, 5*time.Millisecond, RateOutDefault)
	run(1, 7*time.Millisecond, RateOutDefault/2)
	run(1, 7*time.Millisecond, RateOutDefault/4)
	run(9, 20*time.Millisecond, RateOutDefault/rateShareMin)
	run(1, 3*time.Millisecond, RateOutDefault/rateShareMin+RateOutDefault/recoverySteps)
	run(recoverySteps, 0, RateOutDefault)
	run(1, time.Millisecond, RateOutDefault)
	run(1, noticeable, RateOutDefault/2)
	run(1, noticeable-1, RateOutDefault/2+RateOutDefault/recoverySteps)
	run(200, 10*time.Millisecond, RateOutDefault) // it has become usual
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2, 3)
		var order []int
		take := func(i int, ctx context.Context) func() {
			done, err := turns.Take(ctx)
			if err != nil {
				t.Error(err)
			}
			order = append(order, i)
			return done
		}
		first, second := take(1, t.Context()), take(2, t.Context())
		var waiting sync.WaitGroup
		for i := range 2 {
			waiting.Go(func() { take(3+i, t.Context())() })
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting.Go(func() {
			if _, err := turns.Take(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
		synctest.Wait()
		if _, err := turns.Take(t.Context()); !errors.Is(err, ErrTooManyWait) {
			t.Errorf("a sixth: %v", err)
		}
		cancel()
		synctest.Wait()
		first()
		waiting.Wait()
		second()
		if len(order) != 4 || order[2] != 3 || order[3] != 4 {
			t.Errorf("turns went to %v", order)
		}
	})
}

func TestThrottleBlamesCopyingOnlyWhileThereIsSome(t *testing.T) {
	throttle := NewThrottle(RateOutDefault)
	f := func(p99 time.Duration, copying bool, want uint64) {
		t.Helper()
		throttle.Adapt(p99, copying)
		if got := throttle.Rate(); got != want {
			t.Errorf("after %v the rate is %d, want %d", p99, got, want)
		}
	}
	f(3*time.Millisecond, false, RateOutDefault)
	f(30*time.Millisecond, false, RateOutDefault)
	f(6*time.Millisecond, true, RateOutDefault)
	f(30*time.Millisecond, true, RateOutDefault/2)
	f(30*time.Millisecond, true, RateOutDefault/4)
	f(30*time.Millisecond, false, RateOutDefault)
}
