package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// Limits of GET /v1/events.
const (
	subscribersMax    = 256
	eventHeartbeat    = 15 * time.Second // load balancers cut connections idle for 60 s
	eventWriteTimeout = 5 * time.Second  // a reader that takes nothing for so long is dropped
)

// subscribers bounds the event streams of a member: whoever holds a place may stream.
type subscribers chan struct{}

func newSubscribers(registry *prometheus.Registry) subscribers {
	places := make(subscribers, subscribersMax)
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stead_control_event_streams", Help: "Readers of GET /v1/events now.",
	}, func() float64 { return float64(len(places)) }))
	return places
}

// streamEvents answers GET /v1/events: what happens to changes, for as long as the reader listens and
// this member hears from a leader.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) error {
	state := s.control.State()
	if state.Level < fsm.EventsLevel {
		return api.NewProblem(api.CodeUnsupported, "the cluster stands at level %d, events need %d", state.Level, fsm.EventsLevel).
			WithNext("once every member runs this version: stead cluster set level=%d", fsm.EventsLevel)
	}
	if r.URL.Query().Get("consistency") == "linearizable" {
		return api.NewProblem(api.CodeInvalid, "every member tells events from its own state").InField("consistency")
	}
	after, problem := eventsAfter(r, state)
	if problem != nil {
		return problem
	}
	if current := s.fanout.current.Load(); current.trouble != nil {
		return current.trouble
	}
	select {
	case s.subscribers <- struct{}{}:
	default:
		return api.NewProblem(api.CodeOverloaded, "%d readers listen to this member's events already", subscribersMax)
	}
	defer func() { <-s.subscribers }()
	header := w.Header()
	header.Set("Content-Type", api.TypeEvents)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	stream := &eventStream{server: s, to: w, at: after}
	stream.run(r.Context())
	return nil
}

// eventsAfter is the point to go on from: that of a reader who comes back, or who asked for one; the
// present otherwise.
func eventsAfter(r *http.Request, state *fsm.State) (api.EventID, *api.Problem) {
	text, field := r.Header.Get("Last-Event-ID"), "Last-Event-ID"
	if text == "" {
		text, field = r.URL.Query().Get("after"), "after"
	}
	if text == "" {
		return state.Now(), nil
	}
	if index, err := strconv.ParseUint(text, 10, 53); err == nil {
		return api.EventID{Generation: state.Generation, Index: index}, nil
	}
	after, err := api.ParseEventID(text)
	if err != nil {
		return after, api.NewProblem(api.CodeInvalid, "%v", err).InField(field)
	}
	if after.Generation > state.Generation {
		return after, api.NewProblem(api.CodeNoLeader, "this member has not caught up with generation %d", after.Generation)
	}
	return after, nil
}

// eventStream writes one reader's events.
type eventStream struct {
	server *Server
	to     http.ResponseWriter
	at     api.EventID // everything up to here was written
}

func (e *eventStream) run(ctx context.Context) {
	heartbeat := time.NewTicker(eventHeartbeat)
	defer heartbeat.Stop()
	// An id without data moves a reader's place, so that it can come back even if nothing happens.
	alive := e.write(fmt.Appendf(nil, "id: %s\n\n", e.at))
	for alive {
		changed, published := e.server.control.Changed(), e.server.fanout.current.Load()
		if published.trouble != nil {
			e.write(fmt.Appendf(nil, ": %s\n\n", published.trouble.Detail))
			return
		}
		if alive = e.catchUp(e.server.control.State()); !alive {
			return
		}
		select {
		case <-changed:
		case <-published.next:
		case <-heartbeat.C:
			alive = e.write([]byte(": alive\n\n"))
		case <-ctx.Done():
			return
		}
	}
}

// catchUp writes what the reader has not seen.
func (e *eventStream) catchUp(state *fsm.State) bool {
	var text bytes.Buffer
	if state.EventsGone(e.at) {
		e.at = api.EventID{Generation: state.Generation}
		e.append(&text, api.EventReset, api.Event{ID: e.at, Kind: api.EventReset, Cluster: state.Cluster, Oldest: state.OldestChange()})
	}
	for _, change := range state.Events(e.at) {
		e.at = state.EventID(change)
		e.append(&text, api.EventChange, change.Show())
	}
	return text.Len() == 0 || e.write(text.Bytes())
}

// append adds an event at the stream's place. JSON has no line breaks of its own.
func (e *eventStream) append(text *bytes.Buffer, kind api.EventKind, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		e.server.logger.Error("cannot encode an event", "event", e.at, "error", err)
		return
	}
	fmt.Fprintf(text, "id: %s\nevent: %s\ndata: %s\n\n", e.at, kind, raw)
}

func (e *eventStream) write(text []byte) bool {
	controller := http.NewResponseController(e.to)
	if controller.SetWriteDeadline(time.Now().Add(eventWriteTimeout)) != nil {
		return false
	}
	_, err := e.to.Write(text)
	return err == nil && controller.Flush() == nil
}
