package doctor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

var noon = time.Date(2025, time.November, 21, 12, 0, 0, 0, time.UTC)

// well are the facts of a cluster of three members, two nodes and a proxy that lacks nothing.
func well() *Facts {
	version := api.Version{Generation: 1, Number: 9}
	f := &Facts{
		Cluster: &api.Cluster{
			Cluster: "0a", Settings: api.Settings{SlotBits: 8}, Version: version, Level: 2, Leader: "c1-1",
			Nodes: api.NodeCount{Up: 2}, Time: noon,
		},
		Nodes:   &api.NodeList{Version: version},
		Proxies: &api.ProxyList{Version: version, Proxies: []api.Proxy{{ID: "p1", Address: "p1:1", Status: "up", Version: version}}},
		Changes: []api.Change{{ID: 4, Cause: "expire n9", Lossy: true, Time: noon.Add(-25 * time.Hour)}},
		Builds:  []Build{{"proxy p1", "v1.2.3 abc"}},
	}
	for i := range 3 {
		own := *f.Cluster
		f.Members = append(f.Members, Member{
			Member: api.Member{ID: api.MemberID(fmt.Sprintf("c%d-1", i+1)), Name: fmt.Sprintf("c%d", i+1), Voter: true, Level: 2, Raft: fmt.Sprintf("c%d:2", i+1)},
			Own:    &own, Ahead: time.Duration(i) * 100 * time.Millisecond,
			Series: Series{
				"stead_control_applied_index": 5000, "stead_control_following": 1,
				"stead_control_disk_free_bytes": 50 << 30, "stead_control_disk_size_bytes": 100 << 30,
				`stead_build_info{go="go1",revision="abc",version="v1.2.3"}`: 1,
			},
		})
	}
	for _, id := range []api.NodeID{"n1", "n2"} {
		f.Nodes.Nodes = append(f.Nodes.Nodes, api.Node{Registration: api.Registration{ID: id, Address: string(id) + ":1", Weight: 1}, Status: api.NodeUp, Slots: 128})
		f.Ports = append(f.Ports, Port{Owner: "node " + string(id), Address: string(id) + ":1"})
	}
	return f
}

// TestDisksThatAreWell: it is said of whom that is known.
func TestDisksThatAreWell(t *testing.T) {
	f := func(edit func(*Facts), want string) {
		t.Helper()
		facts := well()
		edit(facts)
		r := &report{check: "disks"}
		if checkDisks(facts, r); len(r.findings) != 0 || r.fine != want {
			t.Errorf("got %+v, %q, want %q", r.findings, r.fine, want)
		}
	}
	f(func(*Facts) {}, "at least 50 % free on each member")
	f(func(f *Facts) { f.NodesFull = map[api.NodeID]bool{"n1": false, "n2": false} }, "at least 50 % free on each member; nodes with room enough: 2")
	f(func(f *Facts) { f.Members = nil }, "not known: no member says")
}

func TestExamine(t *testing.T) {
	f := func(edit func(*Facts), want ...string) {
		t.Helper()
		facts := well()
		edit(facts)
		var got []string
		for _, finding := range Examine(facts) {
			if finding.Level > OK {
				got = append(got, fmt.Sprintf("%s %s: %s", finding.Level, finding.Check, finding.What))
			}
			if finding.Level > OK && finding.Do == "" || finding.What == "" {
				t.Errorf("%+v says too little", finding)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("got %q, want %q", got[i], want[i])
			}
		}
	}
	f(func(*Facts) {})
	f(func(f *Facts) { f.Cluster = nil }, "fail members: no control-plane member answers")
	f(func(f *Facts) { f.Members[2].Err = errors.New("refused") },
		"warn members: c3 at  does not answer: refused", "warn quorum: 2 of 3 voters answer: one more")
	f(func(f *Facts) { f.Members[1].Err, f.Members[2].Err = errors.New("refused"), errors.New("refused") },
		"warn members: c2", "warn members: c3", "fail quorum: 1 of 3 voters answer: nothing can change")
	f(func(f *Facts) { f.Members = f.Members[:1] }, "warn quorum: the only member")
	f(func(f *Facts) { f.Cluster.Leader = ""; f.Members[0].Own.Leader = "" },
		"warn members: c1 knows no leader", "warn members: c2 takes c1-1 for the leader", "warn members: c3", "fail quorum: 3 of 3 voters answer, and none leads")
	f(func(f *Facts) { f.Members[1].Own.Cluster = "0b" }, "fail members: c2 is of another cluster, 0b")
	f(func(f *Facts) { f.Members[1].Own.Version.Generation = 2 }, "fail members: c2 is in generation 2, others are in 1")
	f(func(f *Facts) { f.Members[1].Ahead = -1500 * time.Millisecond }, "warn clocks: the clock of c2 is 1.5s behind this machine's")
	f(func(f *Facts) { f.Members[1].Ahead = 2 * time.Second }, "warn clocks: the clock of c2 is 2s ahead of this machine's")
	f(func(f *Facts) { f.Members[1].Ahead, f.Members[1].Unsure = 2*time.Second, 1500*time.Millisecond })
	f(func(f *Facts) { f.Members[1].Series["stead_control_applied_index"] = 3000 }, "warn log: c2 has 2000 log entries still to apply")
	f(func(f *Facts) { f.Members[1].Series["stead_control_following"] = 0 }, "warn log: c2 does not follow")
	f(func(f *Facts) { f.Members[1].Level = 1; f.Cluster.Level = 1 },
		"warn levels: c1 supports level 2, others only 1", "warn levels: c3")
	f(func(f *Facts) { f.Cluster.Level = 1 }, "warn levels: the cluster stands at level 1, every member supports 2")
	f(func(f *Facts) { f.Builds[0].Build = "v1.2.4" }, "warn builds: 2 builds run; v1.2.3 abc: member c1, member c2, member c3; v1.2.4: proxy p1")
	f(func(f *Facts) { f.Members[1].Series["stead_control_disk_free_bytes"] = 5 << 30 }, "warn disks: the disk of c2 is nearly full: 5.0 % free")
	f(func(f *Facts) { f.Members[1].Series["stead_control_disk_free_bytes"] = 1 << 30 }, "fail disks: the disk of c2 is full: 1.0 % free, 1024 MiB")
	f(func(f *Facts) {
		for i := range f.Members {
			f.Members[i].Series = Series{}
		}
	})
	f(func(f *Facts) { f.NodesFull = map[api.NodeID]bool{"n1": false, "n2": false} })
	f(func(f *Facts) { f.NodesFull = map[api.NodeID]bool{"n1": false, "n2": true} },
		"fail disks: the disk of node n2 is nearly full: writes to its slots, and to those it has copies of, are refused (507)")
	f(func(f *Facts) { f.Ports[0].Err = errors.New("refused") }, "warn ports: cannot be reached from this machine: node n1 at n1:1")
	f(func(f *Facts) { f.Nodes.Nodes[0].Status = api.NodeDown; f.Ports[0].Err = errors.New("refused") }, "fail nodes: n1 is down and holds 128 slots")
	f(func(f *Facts) { f.Nodes.Nodes[0].Status = api.NodeSuspect }, "warn nodes: not heard of for half their ttl: n1")
	f(func(f *Facts) { f.Nodes.Nodes[0].Slots, f.Nodes.Nodes[1].Slots = 0, 256 },
		"warn ring: n2 holds 256 slots, 2.00 times what its weight asks for", "warn nodes: up and without slots: n1")
	f(func(f *Facts) {
		f.Nodes.Nodes[0].Slots, f.Nodes.Nodes[1].Slots, f.Nodes.Nodes[0].Draining = 0, 256, true
	})
	f(func(f *Facts) {
		f.Nodes.Nodes[0].Slots, f.Nodes.Nodes[1].Slots = 192, 64
		f.Nodes.Nodes[0].Weight = 3
	})
	f(func(f *Facts) { f.Nodes.Nodes = nil }, "warn ring: there are no nodes")
	f(func(f *Facts) { f.Nodes = nil }, "warn ring: the nodes are not known", "warn nodes: the nodes are not known")
	f(func(f *Facts) { f.Cluster.Unassigned = 3 }, "fail ring: 3 of 256 slots have no node")
	f(func(f *Facts) {
		for i := range 14 {
			f.Nodes.Nodes = append(f.Nodes.Nodes, api.Node{Registration: api.Registration{ID: api.NodeID(fmt.Sprint("x", i)), Weight: 1}, Status: api.NodeUp, Slots: 16})
		}
		f.Nodes.Nodes[0].Slots, f.Nodes.Nodes[1].Slots = 16, 16
	}, "warn ring: 256 slots for 16 nodes is 16 each")
	f(func(f *Facts) { f.Proxies.Proxies[0].Nack = "other key rules" }, "fail proxies: proxy p1 refuses the ring: other key rules")
	f(func(f *Facts) { f.Proxies.Proxies[0].Lag = 6 }, "warn proxies: proxy p1 is 6 versions behind")
	f(func(f *Facts) { f.Proxies.Proxies[0].Version.Generation = 0 }, "warn proxies: proxy p1 is in generation 0, the ring in 1")
	f(func(f *Facts) { f.Proxies.Proxies[0].Status = "down" }, "warn proxies: proxy p1 has not been heard of", "warn proxies: no proxy is heard of")
	f(func(f *Facts) {
		f.Proxies.Proxies = append(f.Proxies.Proxies, api.Proxy{ID: "p2", Address: "p2:1", Status: api.ProxyDown})
		f.Ports = append(f.Ports, Port{Owner: "proxy p2", Address: "p2:1", Err: errors.New("refused")})
	}, "warn proxies: proxy p2 has not been heard of")
	f(func(f *Facts) { f.Proxies = nil }, "warn proxies: the proxies are not known")
	troubled := func(down bool, troubles ...api.NodeTrouble) func(*Facts) {
		return func(f *Facts) {
			f.Proxies.Proxies[0].Troubles = troubles
			if down {
				f.Nodes.Nodes[1].Status, f.Nodes.Nodes[1].Slots = api.NodeDown, 0
			}
		}
	}
	f(troubled(false, api.NodeTrouble{Node: "n1", Connects: 2}, api.NodeTrouble{Node: "n2", GivenUp: true}),
		"warn proxies: node n2 is up, and takes no connections of proxy p1, which refuses its requests")
	f(troubled(false, api.NodeTrouble{Node: "n2", Connects: 1, Timeouts: 7, Breaks: 3}),
		"warn proxies: 11 requests of proxy p1 failed at node n2 lately: 1 not connected, 7 not answered in time, 3 broken off")
	f(troubled(true, api.NodeTrouble{Node: "n2", GivenUp: true}), "warn nodes: n2 is down; it holds no slots")
	f(func(f *Facts) { f.Cluster.Alarms = []string{"change 7 is held"} }, "fail alarms: change 7 is held")
	f(func(f *Facts) { f.Changes[0].Time = noon.Add(-time.Hour) }, "warn history: state was given up within a day: change 4 (expire n9)")
}

// TestExamineStranger: where a member is there and does not know the asker, starting it is no advice.
func TestExamineStranger(t *testing.T) {
	found := Examine(&Facts{Silence: "http://c1:1: a token is needed", Unknown: true})
	if len(found) != 1 || !strings.Contains(found[0].Do, "--token-file") {
		t.Errorf("got %+v", found)
	}
}

func TestWorst(t *testing.T) {
	f := func(want Level, levels ...Level) {
		t.Helper()
		var findings []Finding
		for _, level := range levels {
			findings = append(findings, Finding{Level: level})
		}
		if got := Worst(findings); got != want {
			t.Errorf("%v: got %v", levels, got)
		}
	}
	f(OK)
	f(OK, OK, OK)
	f(Warn, OK, Warn, OK)
	f(Fail, Warn, Fail, OK)
}
