package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// wavering is a member that leads from a moment on, and whose first proposals fail.
type wavering struct {
	*played
	leads   time.Time
	refuses []api.Code // of proposals to come
}

func (w *wavering) IsLeader() bool            { return !time.Now().Before(w.leads) }
func (w *wavering) LeaderURL() (string, bool) { return "", false }
func (w *wavering) ID() api.MemberID          { return "c1" }

func (w *wavering) Beat(api.NodeID, api.Beat, time.Time) *api.Problem { return nil }
func (w *wavering) MovesOf(api.NodeID, time.Time) *api.Moves          { return nil }
func (w *wavering) LastHeard(api.NodeID, time.Time) (time.Duration, *api.Load, bool) {
	return 0, nil, false
}

func (w *wavering) Propose(ctx context.Context, origin fsm.Origin, command fsm.Command) (fsm.Result, error) {
	if len(w.refuses) > 0 {
		code := w.refuses[0]
		w.refuses = w.refuses[1:]
		return fsm.Result{}, api.NewProblem(code, "")
	}
	return w.played.Propose(ctx, origin, command)
}

// TestRequestsWaitForALeader, for as long as there may be one soon; what is sent again is what was sent.
func TestRequestsWaitForALeader(t *testing.T) {
	const soon, never = 700 * time.Millisecond, time.Hour
	const set, nodes = "PATCH /v1/cluster", "GET /v1/nodes"
	bodies := map[string]string{"/v1/cluster": `{"no_key": "any"}`, "/v1/nodes/n1/beat": "{}"}
	for _, c := range []struct {
		name    string
		ask     string
		headers []string
		leads   time.Duration
		cutOff  bool
		refuses []api.Code
		code    api.Code // of the answer; empty: it is a success
		most    time.Duration
	}{
		{name: "a leader soon", ask: nodes, leads: soon, most: soon + leaderLook},
		{name: "a write", ask: set, leads: soon, most: soon + leaderLook},
		{name: "never", ask: nodes, leads: never, code: api.CodeNoLeader, most: leaderPatience + leaderLook},
		{name: "cut off", ask: nodes, leads: soon, cutOff: true, code: api.CodeNoLeader},
		{name: "a beat has other members to turn to", ask: "POST /v1/nodes/n1/beat", leads: soon, code: api.CodeNoLeader},
		{name: "passed on already", ask: set, headers: []string{api.HeaderForwarded, "c2"}, refuses: []api.Code{api.CodeNoLeader}, code: api.CodeNoLeader},
		{name: "leadership lost before it", ask: set, refuses: []api.Code{api.CodeNoLeader}, most: leaderLook},
		{name: "leadership lost over it", ask: set, refuses: []api.Code{api.CodeAmbiguous}, code: api.CodeAmbiguous},
		{name: "leadership lost over it, with a key", ask: set, headers: []string{api.HeaderIdempotencyKey, "k"},
			refuses: []api.Code{api.CodeAmbiguous, api.CodeNoLeader}, most: 2 * leaderLook},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlayed(t, fsm.LevelSupported)
				p.register("n1", 7001)
				p.cutOff = c.cutOff
				began := time.Now()
				s := New(Config{Control: &wavering{played: p, leads: began.Add(c.leads), refuses: c.refuses}, Logger: slog.New(slog.DiscardHandler)})
				method, path, _ := strings.Cut(c.ask, " ")
				request := httptest.NewRequest(method, path, strings.NewReader(bodies[path]))
				for i := 0; i < len(c.headers); i += 2 {
					request.Header.Set(c.headers[i], c.headers[i+1])
				}
				recorder := httptest.NewRecorder()
				s.HTTP().Handler.ServeHTTP(recorder, request)
				var problem api.Problem
				if err := json.Unmarshal(recorder.Body.Bytes(), &problem); err != nil {
					t.Fatalf("%v in %s", err, recorder.Body)
				}
				if got := problem.Code; got != c.code || (c.code == "") != (recorder.Code/100 == 2) {
					t.Errorf("%d %s, want code %q", recorder.Code, recorder.Body, c.code)
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("took %v, at most %v expected", took, c.most)
				}
			})
		})
	}
}
