package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
)

// played is a cluster whose processes answer from maps.
type played struct {
	clusters map[string]api.Cluster // by address
	metrics  map[string]string
	nodes    []api.Node      // n1 alone, where there are none
	open     map[string]bool // addresses that take connections
}

type playedAsker struct {
	*played
	address string
}

var errRefused = errors.New("refused")

func (p playedAsker) Cluster(context.Context) (api.Cluster, error) {
	cluster, known := p.clusters[p.address]
	if !known {
		return cluster, errRefused
	}
	cluster.Time = time.Now().Add(time.Minute)
	return cluster, nil
}

func (p playedAsker) Nodes(context.Context) (api.NodeList, error) {
	if p.nodes != nil {
		return api.NodeList{Nodes: p.nodes}, nil
	}
	return api.NodeList{Nodes: []api.Node{{Registration: api.Registration{ID: "n1", Address: "n1:1"}}}}, nil
}

func (p playedAsker) Proxies(context.Context) (api.ProxyList, error) {
	return api.ProxyList{Proxies: []api.Proxy{{ID: "p1", Address: "p1:1", Admin: "p1:2", Status: "up"}, {ID: "p2", Address: "p2:1", Status: "down"}}}, nil
}

func (p playedAsker) Changes(context.Context, api.ChangeID, int) (api.ChangeList, error) {
	return api.ChangeList{Changes: []api.Change{{ID: 1}}}, nil
}

func (p playedAsker) Metrics(context.Context) ([]byte, error) {
	text, known := p.metrics[p.address]
	if !known {
		return nil, errRefused
	}
	return []byte(text), nil
}

func (p playedAsker) Close() {}

func (p *played) config(members ...string) Config {
	return Config{
		Members: members,
		Ask:     func(address string) (Asker, error) { return playedAsker{p, address}, nil },
		Metrics: func(ctx context.Context, who transport.Identity, address string) ([]byte, error) {
			return playedAsker{p, fmt.Sprintf("%v at %s", who, address)}.Metrics(ctx)
		},
		Dial: func(_ context.Context, address string) (net.Conn, error) {
			if !p.open[address] {
				return nil, errRefused
			}
			near, far := net.Pipe()
			_ = far.Close()
			return near, nil
		},
	}
}

// TestGather: one member that answers is enough to find the others; what is gone is noted as gone.
func TestGather(t *testing.T) {
	members := []api.Member{
		{ID: "c1-1", Name: "c1", API: "http://c1:1", Raft: "c1:2", Voter: true},
		{ID: "c2-1", Name: "c2", API: "http://c2:1", Raft: "c2:2", Voter: true, Leader: true},
		{ID: "c3-1", Name: "c3", API: "http://c3:1", Raft: "c3:2", Voter: true},
	}
	p := &played{
		clusters: map[string]api.Cluster{
			"http://c1:1": {Members: members, Version: api.Version{Generation: 1, Number: 3}},
			"http://c2:1": {Members: members, Leader: "c2-1", Version: api.Version{Generation: 1, Number: 4}},
		},
		metrics: map[string]string{
			"http://c2:1":      "# HELP x y\n# TYPE x gauge\nx{a=\"b c\"} 7\nstead_build_info{go=\"go1\",revision=\"0123456789abcdef\",version=\"v1\"} 1\n\n",
			"proxy p1 at p1:2": "stead_build_info{version=\"v2\",revision=\"\"} 1\n",
		},
		open: map[string]bool{"n1:1": true, "c1:2": true, "c2:2": true, "p1:1": true},
	}
	facts := Gather(t.Context(), p.config("http://lost:1", "http://c1:1"))
	if facts.Cluster == nil || facts.Cluster.Version.Number != 4 {
		t.Fatalf("the newest answer is %+v", facts.Cluster)
	}
	if m := facts.Members; len(m) != 3 || m[0].Err != nil || m[1].Err != nil || !errors.Is(m[2].Err, errRefused) {
		t.Fatalf("members: %+v", m)
	}
	if m := facts.Members[1]; m.Series[`x{a="b c"}`] != 7 || m.Series.build() != "v1 0123456789ab" || m.Ahead < 59*time.Second || m.Ahead > 61*time.Second {
		t.Errorf("c2: %+v", m)
	}
	if facts.Nodes == nil || facts.Proxies == nil || len(facts.Changes) != 1 || len(facts.Builds) != 1 || facts.Builds[0] != (Build{"proxy p1", "v2"}) {
		t.Errorf("got %+v", facts)
	}
	shut := map[string]bool{}
	for _, port := range facts.Ports {
		shut[port.Address] = port.Err != nil
	}
	for address, want := range map[string]bool{"c1:2": false, "c3:2": true, "n1:1": false, "p1:1": false, "p1:2": true, "p2:1": true} {
		if got, tried := shut[address]; !tried || got != want {
			t.Errorf("%s: shut %v, tried %v", address, got, tried)
		}
	}
}

// TestGatherAsksNodesForTheirDisks, where they keep a reserve of it, each for what it says itself.
func TestGatherAsksNodesForTheirDisks(t *testing.T) {
	f := func(state api.State, want map[api.NodeID]bool) {
		t.Helper()
		p := &played{
			clusters: map[string]api.Cluster{"http://c1:1": {Settings: api.Settings{State: state}, Members: []api.Member{{ID: "c1-1", API: "http://c1:1"}}}},
			metrics: map[string]string{
				"node n1 at n1:1": "stead_node_disk_full 0\n", "node n2 at n2:1": "# HELP\nstead_node_disk_full 1\n",
				"node n3 at n3:1": "<html>a page of somebody's own</html>", "node n5 at n5:1": "stead_node_disk_full 1\n",
			},
		}
		for i := range 5 {
			id := api.NodeID(fmt.Sprintf("n%d", i+1))
			p.nodes = append(p.nodes, api.Node{Registration: api.Registration{ID: id, Address: string(id) + ":1"}, Status: api.NodeUp})
		}
		p.nodes[4].Status = api.NodeDown
		if got := Gather(t.Context(), p.config("http://c1:1")).NodesFull; !maps.Equal(got, want) {
			t.Errorf("state %s: got %v, want %v", state, got, want)
		}
	}
	f(api.StateManaged, map[api.NodeID]bool{"n1": false, "n2": true})
	f(api.StateNone, nil)
}

// TestGatherIsNotLetIn: a member that asks who one is, is not one that does not run.
func TestGatherIsNotLetIn(t *testing.T) {
	f := func(err error, unknown bool) {
		t.Helper()
		config := (&played{}).config("http://c1:1")
		config.Ask = func(string) (Asker, error) { return nil, err }
		if facts := Gather(t.Context(), config); facts.Unknown != unknown {
			t.Errorf("%v: got %+v", err, facts)
		}
	}
	f(errRefused, false)
	f(fmt.Errorf("cannot show the cluster: %w", client.ErrUntrusted), true)
	f(api.NewProblem(api.CodeUnauthenticated, "who?"), true)
}

func TestGatherFindsNobody(t *testing.T) {
	facts := Gather(t.Context(), (&played{}).config("http://c1:1", "http://c2:1"))
	if facts.Cluster != nil || facts.Silence != "http://c1:1: refused; http://c2:1: refused" {
		t.Errorf("got %+v", facts)
	}
}

// TestGatherKeepsControlPlanesApart: a member that shares no other with the cluster is of another control
// plane, even of one of the same name.
func TestGatherKeepsControlPlanesApart(t *testing.T) {
	lone := func(id api.MemberID, name string, number uint64) api.Cluster {
		return api.Cluster{
			Cluster: "0a", Version: api.Version{Generation: 2, Number: number}, Leader: id,
			Members: []api.Member{{ID: id, Name: name, API: "http://" + name + ":1", Voter: true, Leader: true}},
		}
	}
	p := &played{clusters: map[string]api.Cluster{"http://c1:1": lone("c1-1", "c1", 9), "http://c2:1": lone("c2-1", "c2", 8)}}
	facts := Gather(t.Context(), p.config("http://c1:1", "http://c2:1"))
	if len(facts.Apart) != 1 || facts.Apart[0].API != "http://c2:1" {
		t.Fatalf("apart are %+v", facts.Apart)
	}
	for _, finding := range Examine(facts) {
		if finding.Check == "members" && finding.Level == Fail {
			return
		}
	}
	t.Error("nothing is said of the second control plane")
}
