package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// answerMax is how much of an answer's body is read, so that its connection can be used again.
const answerMax = 16 << 10

// hook delivers to one receiver.
type hook struct {
	target target
	key    []byte
	log    Log
	http   *http.Client
	logger *slog.Logger

	mu      sync.Mutex
	at      api.EventID // everything up to here was taken
	waiting time.Time   // since when the event in front has been tried; zero: none is
	skipped uint64      // log entry up to which it is known that events are lost to history
	taken   uint64      // deliveries
	failed  uint64      // deliveries
}

// resume goes on where earlier leaders were, or begins at the present.
func (h *hook) resume(state *fsm.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.waiting = start(h.target, state), time.Time{}
}

func start(target target, state *fsm.State) api.EventID {
	at := state.Now()
	if index, known := state.Delivery(target.digest); known {
		at.Index = index
	}
	return at
}

// rest forgets what only a leader knows.
func (h *hook) rest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = time.Time{}
}

func (h *hook) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		changed := h.log.Changed()
		event, due := h.front(h.log.State())
		if !due {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		h.tries(time.Now())
		err := h.deliver(ctx, event)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			h.took(event.ID)
			if failures > 0 {
				h.logger.Info("webhook takes events again", "failures", failures)
			}
			failures = 0
		default:
			failures++
			h.refused(failures, err)
			h.pause(ctx, retryAfter(failures, rand.Float64()))
		}
	}
}

// front is the next event to deliver, if there is one. The change is told as it is now.
func (h *hook) front(state *fsm.State) (event api.Event, due bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.Generation != state.Generation {
		h.at = start(h.target, state)
	}
	if lost := state.Forgotten(); lost > max(h.at.Index, h.skipped) {
		if h.skipped <= h.at.Index { // once until it takes an event
			h.logger.Warn("webhook lags behind history, events are skipped", "after", h.at, "oldest", state.OldestChange())
		}
		h.skipped = lost
	}
	news := state.Events(h.at)
	if len(news) == 0 {
		return api.Event{}, false
	}
	shown := news[0].Show()
	return api.Event{ID: state.EventID(news[0]), Kind: api.EventChange, Cluster: state.Cluster, Change: &shown}, true
}

// deliver posts one event once.
func (h *hook) deliver(ctx context.Context, event api.Event) error {
	body, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("cannot encode event %s: %w", event.ID, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.target.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be asked")
	}
	request.Header.Set("Content-Type", api.TypeJSON)
	request.Header.Set(api.HeaderSignature, sign(h.key, time.Now(), body))
	response, err := h.http.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, answerMax)) // what it says is not needed
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", response.StatusCode)
	}
	return nil
}

// withoutURL keeps a URL's secrets out of logs.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

func (h *hook) tries(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting.IsZero() {
		h.waiting = now
	}
}

func (h *hook) took(id api.EventID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.waiting = id, time.Time{}
	h.taken++
}

// refused counts a failure; the first in a row is worth a warning.
func (h *hook) refused(failures int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed++
	level := slog.LevelDebug
	if failures == 1 {
		level = slog.LevelWarn
	}
	h.logger.Log(context.Background(), level, "webhook did not take an event, trying on", "error", err, "failures", failures)
}

func (h *hook) pause(ctx context.Context, while time.Duration) {
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// place is how far the webhook got, in whole log entries: all that happened at them was taken.
func (h *hook) place() fsm.Delivered {
	state := h.log.State()
	h.mu.Lock()
	defer h.mu.Unlock()
	index := h.at.Index
	for _, change := range state.Events(h.at) {
		if change.Updated == index {
			index-- // a part of that entry's events is left
			break
		}
	}
	return fsm.Delivered{Webhook: h.target.digest, Index: index}
}

// lag is how long the event in front has been refused, 0 if none is.
func (h *hook) lag(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting.IsZero() {
		return 0
	}
	return now.Sub(h.waiting)
}
