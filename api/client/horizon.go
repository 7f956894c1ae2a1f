package client

import (
	"context"
	"sync"

	"github.com/stead-io/stead/api"
)

// horizon is the newest ring version that the answer to a beat has named. It tells a watcher that
// the member it polls hangs or lags: a beat went elsewhere and heard of more.
type horizon struct {
	mu     sync.Mutex
	newest api.Version
	raised chan struct{} // closed and replaced at each rise
}

func newHorizon() *horizon { return &horizon{raised: make(chan struct{})} }

// raise moves the horizon up, never down.
func (h *horizon) raise(to api.Version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if to.Compare(h.newest) <= 0 {
		return
	}
	h.newest = to
	close(h.raised)
	h.raised = make(chan struct{})
}

// beyond waits until the horizon is past a version; ok is false when the context ended first.
func (h *horizon) beyond(ctx context.Context, version api.Version) (newest api.Version, ok bool) {
	for {
		h.mu.Lock()
		newest, raised := h.newest, h.raised
		h.mu.Unlock()
		if newest.Compare(version) > 0 {
			return newest, true
		}
		select {
		case <-raised:
		case <-ctx.Done():
			return api.Version{}, false
		}
	}
}
