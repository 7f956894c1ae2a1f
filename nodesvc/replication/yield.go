package replication

import (
	"context"
	"fmt"
	"time"
)

// Yield hands over every slot that another replica in sync can take. It returns when none is left that could
// be, or ctx ends.
func (e *Engine) Yield(ctx context.Context) error {
	e.leaves.Store(true)
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	for {
		left := 0
		e.each(func(s *slot) {
			if s.couldYield() {
				left++
				e.attend(s)
			}
		})
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot hand over %d slots in time: %w", left, ctx.Err())
		case <-e.failed:
			return e.failure
		case <-tick.C:
		}
	}
}

func (s *slot) couldYield() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil || s.engine.config.Control == nil {
		return false
	}
	_, found := s.anyHeir()
	return found || s.lead.handover != nil
}
