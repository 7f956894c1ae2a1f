package liveness

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// script runs lines of "<ms> <event>" against a tracker of one node with a ttl of 2 s and writes down
// the transitions, judged after every event.
func script(subject Subject, lines string) string {
	tracker := NewTracker(start)
	var seen []string
	for line := range strings.Lines(lines) {
		var ms int
		var event string
		if count, _ := fmt.Sscanf(line, "%d %s", &ms, &event); count == 0 {
			continue
		}
		now := start.Add(time.Duration(ms) * time.Millisecond)
		switch event {
		case "beat":
			tracker.Heard(subject.ID, now, nil)
		case "leave":
			tracker.Left(subject.ID)
		case "register": // as the state has it, before the leader's Heard
			subject.Session, subject.Status = api.SessionID(fmt.Sprint("1-", ms)), api.NodeUp
		case "stall":
			tracker.Restart(now)
		case "healthy":
			tracker.Probed(subject.ID, true, now)
		case "failed":
			tracker.Probed(subject.ID, false, now)
		}
		for _, transition := range tracker.Judge([]Subject{subject}, now) {
			subject.Status = transition.Status
			seen = append(seen, fmt.Sprintf("%d:%s", ms, transition.Status))
		}
	}
	return strings.Join(seen, " ")
}

func TestTransitions(t *testing.T) {
	beating := Subject{ID: "n1", Status: api.NodeUp, TTL: 2 * time.Second}
	down := beating
	down.Status = api.NodeDown
	static := Subject{ID: "n1", Status: api.NodeUp, Static: true}
	checked := Subject{ID: "n1", Status: api.NodeUp, Static: true, Failures: 3}
	f := func(name string, subject Subject, lines, want string) {
		t.Helper()
		if got := script(subject, lines); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("beats", beating, "0 beat\n900 beat\n1800 beat\n2700", "")
	f("silence", beating, "0 beat\n999\n1000\n1999\n2000\n9000", "1000:suspect 2000:down")
	f("recovers", beating, "0 beat\n1500\n1600 beat", "1500:suspect 1600:up")
	f("comes back", beating, "0 beat\n2500\n4000 beat", "2500:down 4000:up")
	f("a new leader waits a whole ttl", beating, "1999\n2000", "1999:suspect 2000:down")
	f("a new leader leaves the dead as they are", down, "0\n5000", "")
	f("the leader stood still", beating, "0 beat\n5000 stall\n5900\n6000\n7000", "6000:suspect 7000:down")
	f("the leader stood still, a dead node stays dead", down, "0\n5000 stall\n9000", "")
	f("leaves", beating, "0 beat\n100 leave\n200\n300 beat", "100:down 300:up")
	f("registers, and is not heard yet", beating, "0 beat\n1500\n5000\n9000 register\n9999\n10000\n11000", "1500:suspect 5000:down 10000:suspect 11000:down")
	f("registers, having left", beating, "0 beat\n100 leave\n200 register\n300 beat", "100:down")
	f("a session of before this leader", down, "0\n3000 register\n3900\n4100", "4100:suspect")
	f("static", static, "0\n99999", "")
	f("check fails", checked, "0 healthy\n1 failed\n2 failed\n3 failed\n4 failed\n5 healthy", "1:suspect 3:down 5:up")
	f("check not run yet", checked, "0\n99999", "")
	f("down by check stays down until healthy", Subject{ID: "n1", Status: api.NodeDown, Static: true, Failures: 3}, "0 failed\n1 healthy", "1:up")
}

func TestLastHeard(t *testing.T) {
	tracker := NewTracker(start)
	if _, _, known := tracker.LastHeard("n1", start); known {
		t.Fatal("a node that never spoke was heard")
	}
	tracker.Heard("n1", start.Add(time.Second), &api.Load{Keys: 3})
	ago, load, known := tracker.LastHeard("n1", start.Add(3*time.Second))
	if !known || ago != 2*time.Second || load.Keys != 3 {
		t.Fatalf("got %v %v %v", ago, load, known)
	}
	tracker.Forget(func(api.NodeID) bool { return false })
	if _, _, known := tracker.LastHeard("n1", start); known {
		t.Fatal("a forgotten node is remembered")
	}
}

func TestFleet(t *testing.T) {
	fleet := NewFleet()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	version := api.Version{Generation: 1, Number: 10}
	fleet.Heard("p2", api.ProxyBeat{Address: "127.0.0.1:2", Version: api.Version{Generation: 1, Number: 7}}, at(0))
	fleet.Heard("p1", api.ProxyBeat{Address: "127.0.0.1:1", Version: version, Leaving: true}, at(500))
	var got []string
	for _, proxy := range fleet.List(at(900), version) {
		got = append(got, fmt.Sprintf("%s %s %d", proxy.ID, proxy.Status, proxy.Lag))
	}
	if want := []string{"p1 draining 0", "p2 down 3"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	fleet.Forget(at(0).Add(ProxyForgottenAfter + time.Millisecond))
	if list := fleet.List(at(0), version); len(list) != 1 {
		t.Fatalf("got %v", list)
	}
}

// A node that registers is listed by the state before the leader notes that it was heard.
func TestNewNodeIsNotSilent(t *testing.T) {
	tracker := NewTracker(start)
	tracker.Judge(nil, start)
	later := start.Add(time.Hour)
	joined := []Subject{{ID: "n1", Session: "1-7", Status: api.NodeUp, TTL: 2 * time.Second}}
	if due := tracker.Judge(joined, later); len(due) > 0 {
		t.Errorf("found %+v of a node that has just registered", due)
	}
	if due := tracker.Judge(joined, later.Add(2*time.Second)); len(due) != 1 || due[0].Status != api.NodeDown {
		t.Errorf("found %+v of a node that was silent since", due)
	}
}

func TestQuiet(t *testing.T) {
	tracker := NewTracker(start)
	f := func(after time.Duration, want bool) {
		t.Helper()
		if got := tracker.Quiet("n1", time.Second, start.Add(after)); got != want {
			t.Errorf("after %v it is quiet: %v", after, got)
		}
	}
	f(999*time.Millisecond, false) // this leader cannot know yet
	f(time.Second, true)
	tracker.Heard("n1", start.Add(2*time.Second), nil)
	f(2999*time.Millisecond, false)
	f(3*time.Second, true)
	tracker.Left("n1")
	f(2*time.Second, true)
}

// TestFleetShowsTroubles: what a proxy says of nodes is shown while it is heard.
func TestFleetShowsTroubles(t *testing.T) {
	fleet := NewFleet()
	fleet.Heard("p1", api.ProxyBeat{Address: "127.0.0.1:1", Troubles: []api.NodeTrouble{{Node: "n1", Connects: 7, GivenUp: true}}}, start)
	f := func(after time.Duration, want string) {
		t.Helper()
		if got := fmt.Sprint(fleet.List(start.Add(after), api.Version{})[0].Troubles); got != want {
			t.Errorf("after %v: got %s, want %s", after, got, want)
		}
	}
	f(0, "[{n1 7 0 0 true}]")
	f(2*api.ProxyDownAfter, "[]")
}
