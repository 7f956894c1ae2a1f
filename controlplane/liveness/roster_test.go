package liveness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// rosters runs lines of "<ms> <event> <proxy> <address>" against a fleet that inherited some proxies, and
// writes down every roster that is news.
func rosters(inherited []api.RosterItem, lines string) string {
	fleet := NewFleet()
	fleet.Inherit(inherited, start)
	var told []string
	for line := range strings.Lines(lines) {
		var ms int
		var event, id, address string
		if count, _ := fmt.Sscan(line, &ms, &event, &id, &address); count == 0 {
			continue
		}
		now := start.Add(time.Duration(ms) * time.Millisecond)
		switch event {
		case "beat", "leave":
			fleet.Heard(api.ProxyID(id), api.ProxyBeat{Address: address, Leaving: event == "leave"}, now)
		case "stall":
			fleet.Restart(now)
		case "forget":
			fleet.Forget(now)
		}
		if fleet.News(now) {
			told = append(told, fmt.Sprintf("%d:%s", ms, written(fleet.Roster(now))))
		}
	}
	return strings.Join(told, " ")
}

func written(roster []api.RosterItem) string {
	var items []string
	for _, item := range roster {
		items = append(items, fmt.Sprintf("%s@%s=%s", item.ID, item.Address, item.Status))
	}
	return strings.Join(items, ",")
}

func TestRoster(t *testing.T) {
	known := []api.RosterItem{
		{ID: "p1", Address: "A", Status: api.ProxyUp},
		{ID: "p2", Address: "B", Status: api.ProxyDown},
		{ID: "p3", Address: "C", Status: api.ProxyDraining},
	}
	f := func(name string, inherited []api.RosterItem, lines, want string) {
		t.Helper()
		if got := rosters(inherited, lines); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("nobody", nil, "0\n5000", "0:")
	f("beats are no news", nil, "0 beat p1 A\n250 beat p1 A\n1000 beat p1 A", "0:p1@A=up")
	f("silence", nil, "0 beat p1 A\n750\n751\n9000", "0:p1@A=up 751:p1@A=down")
	f("comes back", nil, "0 beat p1 A\n800\n900 beat p1 A", "0:p1@A=up 800:p1@A=down 900:p1@A=up")
	f("moves", nil, "0 beat p1 A\n100 leave p1 A\n200 beat p1 B", "0:p1@A=up 100:p1@A=draining 200:p1@B=up")
	f("killed, and back elsewhere", nil, "0 beat p1 A\n100 beat p1 B\n751\n800 beat p1 B", "0:p1@A=up 751:p1@A=down 800:p1@B=up")
	f("two under one id", nil, "0 beat p1 A\n100 beat p1 B\n250 beat p1 A\n350 beat p1 B\n500 beat p1 A", "0:p1@A=up")
	f("inherited, and back elsewhere", []api.RosterItem{{ID: "p1", Address: "A", Status: api.ProxyUp}}, "0\n100 beat p1 B",
		"0:p1@A=up 100:p1@B=up")
	f("leaves", nil, "0 beat p1 A\n100 leave p1 A\n900", "0:p1@A=up 100:p1@A=draining 900:")
	f("restarted under another id", nil, "0 beat p1 A\n800\n900 beat p9 A", "0:p1@A=up 800:p1@A=down 900:p9@A=up")
	f("the leader stood still", nil, "0 beat p1 A\n2000 stall\n2700\n2751", "0:p1@A=up 2751:p1@A=down")
	f("forgotten", nil, "0 beat p1 A\n800\n700000 forget", "0:p1@A=up 800:p1@A=down 700000:")
	f("inherited, and none beats", known, "0\n1500\n1501", "0:p1@A=up,p2@B=down,p3@C=draining 1501:p1@A=down,p2@B=down")
	f("inherited, and all beat", known, "0\n200 beat p1 A\n250 beat p2 B",
		"0:p1@A=up,p2@B=down,p3@C=draining 250:p1@A=up,p2@B=up,p3@C=draining")
}

// TestList: a proxy that only the leader before heard of is listed once it is down, and not before; one
// that has gone on purpose, or came back under another id, is not listed as down.
func TestList(t *testing.T) {
	fleet := NewFleet()
	fleet.Inherit([]api.RosterItem{
		{ID: "p1", Address: "A", Status: api.ProxyUp},
		{ID: "p2", Address: "B", Status: api.ProxyDown},
		{ID: "p3", Address: "C", Status: api.ProxyUp},
	}, start)
	f := func(ms time.Duration, want string) {
		t.Helper()
		var got []string
		for _, proxy := range fleet.List(start.Add(ms*time.Millisecond), api.Version{Generation: 1, Number: 7}) {
			got = append(got, fmt.Sprintf("%s=%s", proxy.ID, proxy.Status))
		}
		if strings.Join(got, ",") != want {
			t.Errorf("after %d ms: got %v, want %s", ms, got, want)
		}
	}
	f(0, "p2=down")
	fleet.Heard("p1", api.ProxyBeat{Address: "A"}, start.Add(1400*time.Millisecond))
	f(1501, "p1=up,p2=down,p3=down")
	fleet.Heard("p4", api.ProxyBeat{Address: "C"}, start.Add(1600*time.Millisecond))
	fleet.Heard("p1", api.ProxyBeat{Address: "A", Leaving: true}, start.Add(1600*time.Millisecond))
	f(1700, "p1=draining,p2=down,p4=up")
	f(9000, "p2=down,p3=down,p4=down")
}
