package webhooks

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/stead-io/stead/controlplane/fsm"
)

const (
	// attemptTimeout bounds one delivery, from dialling to the end of the answer.
	attemptTimeout = 10 * time.Second
	// recordEvery is how often the log learns how far webhooks got, where they moved.
	recordEvery = time.Second
	// AlarmAfter is how long a receiver may refuse an event before it takes a person.
	AlarmAfter = 5 * time.Minute

	headerMax   = 16 << 10 // bytes of an answer's headers
	idleTimeout = 90 * time.Second
)

// Log is what deliveries need of the replicated state.
type Log interface {
	// State is the present state, Changed a channel closed when it is no longer that.
	State() *fsm.State
	Changed() <-chan struct{}
	// Delivered has the log remember how far a webhook got.
	Delivered(ctx context.Context, place fsm.Delivered) error
}

// Config says where to post, and how to prove who did.
type Config struct {
	URLs   []string
	Key    []byte
	Log    Log
	Logger *slog.Logger
}

// Webhooks are the webhooks of a member. They deliver while it leads.
type Webhooks struct {
	log    Log
	logger *slog.Logger
	hooks  []*hook
	http   *http.Client
}

// New makes the webhooks; nothing is sent before Run.
func New(config Config) (*Webhooks, error) {
	return newWebhooks(config, &http.Transport{
		MaxResponseHeaderBytes: headerMax, MaxIdleConnsPerHost: TargetsMax, IdleConnTimeout: idleTimeout,
		TLSHandshakeTimeout: attemptTimeout,
	})
}

func newWebhooks(config Config, via http.RoundTripper) (*Webhooks, error) {
	targets, err := parseTargets(config.URLs)
	if err != nil {
		return nil, fmt.Errorf("cannot set up webhooks: %w", err)
	}
	w := &Webhooks{
		log: config.Log, logger: config.Logger,
		http: &http.Client{
			Transport: via, Timeout: attemptTimeout,
			// Events go where the operator said, and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, target := range targets {
		w.hooks = append(w.hooks, &hook{
			target: target, key: config.Key, log: config.Log, http: w.http,
			logger: config.Logger.With("webhook", target.name()),
		})
	}
	return w, nil
}

// Resume has deliveries go on where earlier leaders were; what was never served begins at the present.
// It comes before Run, and before this member takes commands as the leader.
func (w *Webhooks) Resume() {
	state := w.log.State()
	for _, hook := range w.hooks {
		hook.resume(state)
	}
}

// Run delivers until ctx ends, which is when its caller no longer leads. It returns when nothing is under
// way any more.
func (w *Webhooks) Run(ctx context.Context) {
	if len(w.hooks) == 0 || !w.awaitLevel(ctx) {
		return
	}
	var running sync.WaitGroup
	for _, hook := range w.hooks {
		running.Go(func() { hook.run(ctx) })
	}
	running.Go(func() { w.record(ctx) })
	running.Wait()
	for _, hook := range w.hooks {
		hook.rest()
	}
	w.http.CloseIdleConnections()
}

// awaitLevel waits until the cluster dates its changes; false: ctx ended first.
func (w *Webhooks) awaitLevel(ctx context.Context) bool {
	told := false
	for {
		changed := w.log.Changed()
		if w.log.State().Level >= fsm.EventsLevel {
			return true
		}
		if !told {
			w.logger.Warn("webhooks wait for the cluster's level to be raised", "needed", fsm.EventsLevel)
			told = true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// record has the log remember how far each webhook got: at once where it is new, so that its beginning
// outlives this leader, and then once a round where it moved.
func (w *Webhooks) record(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, hook := range w.hooks {
			place := hook.place()
			if known, recorded := w.log.State().Delivery(place.Webhook); recorded && known >= place.Index {
				continue
			}
			if err := w.log.Delivered(ctx, place); err != nil {
				w.logger.Debug("a webhook's place was not recorded", "webhook", hook.target.name(), "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Alarms says which receivers have refused an event for too long.
func (w *Webhooks) Alarms(now time.Time) []string {
	var alarms []string
	for _, hook := range w.hooks {
		if lag := hook.lag(now); lag > AlarmAfter {
			alarms = append(alarms, fmt.Sprintf("webhook %s has taken no event for %v", hook.target.name(), lag.Round(time.Second)))
		}
	}
	return alarms
}
