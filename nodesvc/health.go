package nodesvc

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// health asks the service, over and over, whether it is well, and remembers what it said. A probe
// that does not come back counts as a failure: a hung disk must not look alive.
type health struct {
	probe func(context.Context) error
	limit time.Duration // a probe that takes longer has failed
	well  chan struct{} // closed at the first success

	mu      sync.Mutex
	asked   time.Time // when the probe under way began; zero between probes
	failure error     // of the last probe that came back
	proven  bool      // one succeeded
}

func newHealth(probe func(context.Context) error, limit time.Duration) *health {
	h := &health{probe: probe, limit: limit, well: make(chan struct{})}
	if probe == nil {
		h.proven = true
		close(h.well)
	}
	return h
}

// run probes once every interval until the context ends.
func (h *health) run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for h.probe != nil && ctx.Err() == nil {
		h.once(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (h *health) once(ctx context.Context) {
	began := time.Now()
	h.mu.Lock()
	h.asked = began
	h.mu.Unlock()

	bounded, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	err := h.probe(bounded)
	if took := time.Since(began); err == nil && took > h.limit {
		err = fmt.Errorf("the health probe took %v", took)
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = time.Time{}
	h.failure = err
	if err == nil && !h.proven {
		h.proven = true
		close(h.well)
	}
}

// ailment says why the service does not count as well at this moment, "" if it does.
func (h *health) ailment(now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.asked.IsZero() && now.Sub(h.asked) > h.limit:
		return fmt.Sprintf("the health probe has not come back for %v", now.Sub(h.asked).Round(time.Millisecond))
	case h.failure != nil:
		return h.failure.Error()
	case !h.proven:
		return "the service has not answered its first health probe yet"
	default:
		return ""
	}
}
