package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/controlplane/fsm"
)

// follow collects the ids of a member's events until it has seen so many.
func follow(t *testing.T, member *Member, after api.EventID, enough int) (ids []string) {
	t.Helper()
	one, err := client.New(client.Config{Members: []string{member.APIAddr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_ = one.Events(ctx, after, func(event api.Event) {
		if ids = append(ids, event.ID.String()+" "+event.Change.Cause); len(ids) == enough {
			cancel()
		}
	})
	if len(ids) < enough {
		t.Fatalf("only %d events came: %v", len(ids), ids)
	}
	return ids
}

func TestMembersTellTheSameEvents(t *testing.T) {
	c := newCluster(t)
	for i := range 3 {
		call(t, c.members[i], "POST", "/v1/nodes", registration("n"+string(rune('1'+i)), 1+i), nil)
	}
	c.await("slots for all on all members", func() bool {
		for _, member := range c.members {
			if len(member.State().SlotsHeld()) != 3 || len(member.State().Pending()) > 0 {
				return false
			}
		}
		return true
	})
	start := api.EventID{Generation: 1}
	told := follow(t, c.members[0], start, 4) // the founding, and three registrations
	for _, member := range c.members[1:] {
		if got := follow(t, member, start, 4); !slices.Equal(got, told) {
			t.Errorf("one member tells %v, another %v", told, got)
		}
	}
	halfway, _ := api.ParseEventID(strings.Fields(told[1])[0])
	if got := follow(t, c.members[2], halfway, 2); !slices.Equal(got, told[2:]) {
		t.Errorf("behind %s comes %v, want %v", halfway, got, told[2:])
	}
}

func TestWebhookThroughALeaderChange(t *testing.T) {
	var mu sync.Mutex
	var taken []api.Event
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event api.Event
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &event); err != nil || r.Header.Get(api.HeaderSignature) == "" {
			t.Errorf("got %q, %v", body, err)
		}
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, event)
	}))
	defer receiver.Close()
	c := &cluster{t: t, folder: t.TempDir(), webhook: receiver.URL}
	t.Cleanup(func() {
		for i := range c.members {
			c.stop(i)
		}
	})
	for i := range c.members {
		c.start(i)
	}
	c.await("a leader", func() bool { return c.leader() != nil })
	made := map[api.ChangeID]bool{}
	change := func(method, path string, body any) {
		t.Helper()
		var answer api.Changed
		if status := call(t, c.leading(), method, path, body, &answer); status/100 != 2 {
			t.Fatalf("%s %s: %d", method, path, status)
		}
		made[answer.Change] = true
	}
	c.await("the webhook's beginning in the log", func() bool { return recorded(c.leader()) })
	change("POST", "/v1/nodes", registration("n1", 1))
	change("POST", "/v1/nodes", registration("n2", 2))
	for i, member := range c.members {
		if member.IsLeader() {
			c.stop(i)
			break
		}
	}
	c.await("another leader", func() bool { return c.leader() != nil })
	change("POST", "/v1/nodes/n1/drain", nil)
	change("POST", "/v1/nodes/n1/undrain", nil)
	c.await("all changes at the receiver", func() bool {
		mu.Lock()
		defer mu.Unlock()
		heard := map[api.ChangeID]bool{}
		for _, event := range taken {
			heard[event.Change.ID] = heard[event.Change.ID] || event.Change.Status == api.ChangeDone
		}
		for id := range made {
			if !heard[id] {
				return false
			}
		}
		return true
	})
	// In peace the log does not grow.
	leader := c.leader()
	c.await("the last place in the log", func() bool { return atRest(leader) })
	before := leader.State().Index
	time.Sleep(2500 * time.Millisecond) // rounds of recording and of beats
	if after := leader.State().Index; after != before {
		t.Errorf("%d log entries were written in peace", after-before)
	}
}

// recorded reports whether the log knows some webhook's place.
func recorded(member *Member) bool { return member != nil && atRestFrom(member, 0) }

// atRest reports whether the log knows that every event was taken.
func atRest(member *Member) bool {
	newest := uint64(0)
	for _, change := range member.State().Events(api.EventID{Generation: 1}) {
		newest = max(newest, change.Updated)
	}
	return atRestFrom(member, newest)
}

func atRestFrom(member *Member, index uint64) bool {
	for _, place := range member.State().Deliveries() {
		if place.Index >= index {
			return true
		}
	}
	return false
}

func TestDiffsOfNoChange(t *testing.T) {
	l := newLone(t, nil)
	f := func(query string, status int, code api.Code) {
		t.Helper()
		response, content := l.send("GET", "/v1/ring/diff?"+query, "")
		var problem api.Problem
		if err := json.Unmarshal(content, &problem); err != nil || response.StatusCode != status || problem.Code != code {
			t.Errorf("%s: got %d %s, want %d %s", query, response.StatusCode, content, status, code)
		}
	}
	f("change=c99", 404, api.CodeChangeUnknown)
	f("change=x", 400, api.CodeInvalid)
	f("change=", 400, api.CodeInvalid)
	f("change=1&from=1", 400, api.CodeInvalid)
}

// TestDiffOfAChange: what a change did is what moved, no more and no less.
func TestDiffOfAChange(t *testing.T) {
	l := newLone(t, nil)
	send := func(method, path, body string) api.ChangeID {
		t.Helper()
		response, content := l.send(method, path, body)
		var changed api.Changed
		if err := json.Unmarshal(content, &changed); err != nil || response.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, content)
		}
		l.await(func() bool { return len(l.State().Pending()) == 0 })
		return changed.Change
	}
	f := func(id api.ChangeID) {
		t.Helper()
		response, content := l.send("GET", fmt.Sprintf("/v1/ring/diff?change=%d", id), "")
		var diff api.RingDiff
		if err := json.Unmarshal(content, &diff); err != nil || response.StatusCode != 200 {
			t.Fatalf("change %d: %d %s", id, response.StatusCode, content)
		}
		change, problem := l.State().Change(id)
		if problem != nil || diff.Moved != change.Progress.Done || diff.To != change.Last {
			t.Errorf("change %d (%s) moved %d slots up to %s; its diff shows %d up to %s", id, change.Kind, change.Progress.Done, change.Last, diff.Moved, diff.To)
		}
	}
	first := send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1","lease":"none","on_down":"reset"}`)
	second := send("POST", "/v1/nodes", `{"id":"n2","address":"127.0.0.1:2","lease":"none","on_down":"reset"}`)
	drain := send("POST", "/v1/nodes/n1/drain", "")
	undrain := send("POST", "/v1/nodes/n1/undrain", "")
	rebalance := send("POST", "/v1/ring/rebalance", "")
	for _, id := range []api.ChangeID{first, second, drain, undrain, rebalance} {
		if id > 0 {
			f(id)
		}
	}
}

// TestStoppingMemberEndsStreams: a reader of events does not hold up the end of a member.
func TestStoppingMemberEndsStreams(t *testing.T) {
	c := newCluster(t)
	response, err := http.Get("http://" + c.members[0].APIAddr() + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	began := time.Now()
	c.stop(0)
	if took := time.Since(began); took > drainTimeout {
		t.Errorf("stopping took %v", took)
	}
	rest, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(rest), "\n: this member is stopping\n") {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}

// TestRefusalsOfOldClustersNameTheHeader: a client may do without the key that it drew, not without more.
func TestRefusalsOfOldClustersNameTheHeader(t *testing.T) {
	f := func(origin fsm.Origin, command fsm.Command, field string) {
		t.Helper()
		problem := beyondLevel(1, origin, command)
		if problem.Code != api.CodeUnsupported || problem.Field != field || !strings.Contains(problem.Next, "stead cluster set level=2") {
			t.Errorf("%+v %T: %v, field %q, next %q", origin, command, problem, problem.Field, problem.Next)
		}
	}
	f(fsm.Origin{Key: "k"}, fsm.Rebalance{}, api.HeaderIdempotencyKey)
	f(fsm.Origin{Base: 3}, fsm.Rebalance{}, "If-Match")
	f(fsm.Origin{Key: "k", Base: 3}, fsm.Rebalance{}, api.HeaderIdempotencyKey)
	f(fsm.Origin{Key: "k"}, fsm.Delivered{}, "")
}
