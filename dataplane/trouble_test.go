package dataplane

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/forward"
)

// TestTroubles: failures are told of for a while, the worst nodes first, and no more of them than may be.
func TestTroubles(t *testing.T) {
	var list troubles
	now := time.Now()
	f := func(after time.Duration, want string, givenUp ...api.NodeID) {
		t.Helper()
		if got := fmt.Sprint(list.recent(now.Add(after), givenUp)); got != want {
			t.Errorf("after %v: got %s, want %s", after, got, want)
		}
	}
	f(0, "[]")
	for _, stage := range []forward.Stage{forward.NotConnected, forward.TimedOut, forward.TimedOut, forward.NotAnswered, forward.Broken, forward.ClientFailed} {
		list.note("n1", stage, now)
	}
	list.note("n2", forward.NotConnected, now.Add(troubleHalf))
	list.note("n3", forward.ClientFailed, now)
	f(troubleHalf, "[{n1 1 2 2 false} {n2 1 0 0 true} {n4 0 0 0 true}]", "n2", "n4", "n4")
	f(2*troubleHalf, "[{n2 1 0 0 false}]")
	f(3*troubleHalf, "[]")
	if len(list.nodes) != 0 {
		t.Errorf("%d are remembered", len(list.nodes))
	}
	for i := range 3 * api.TroublesMax {
		list.note(api.NodeID(fmt.Sprint("n", i)), forward.Broken, now)
	}
	if got := list.recent(now, nil); len(got) != api.TroublesMax {
		t.Errorf("%d are told of", len(got))
	}
}

// TestBeatsTellOfTroubles: each kind of failure reaches the control plane, and nothing else follows from it.
func TestBeatsTellOfTroubles(t *testing.T) {
	silent := startNode(t, func(net.Conn, int, received) bool { return true })
	breaks := startNode(t, func(net.Conn, int, received) bool { return false })
	dead, _ := gate(t)
	view := ringOf(t, 1, 1, up("silent", silent.address()), up("breaks", breaks.address()), up("dead", dead))
	proxy, fake := start(t, view, func(c *Config) { c.Deadline = 100 * time.Millisecond })
	asked := map[api.NodeID]bool{}
	for i := 0; len(asked) < 3; i++ {
		key := fmt.Sprint("k", i)
		if _, _, node, _ := view.Locate([]byte(key)); !asked[node.ID] {
			asked[node.ID] = true
			ask(t, proxy, "POST /kv/"+key+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
		}
	}
	fake.awaitBeat(t, func(beat api.ProxyBeat) bool {
		told := map[api.NodeID]api.NodeTrouble{}
		for _, trouble := range beat.Troubles {
			told[trouble.Node] = trouble
		}
		return told["silent"].Timeouts == 1 && told["breaks"].Breaks == 1 && told["dead"].Connects > 0 && len(told) == 3
	})
	for _, node := range proxy.routes.Table().View.Table.Nodes {
		if node.Status != ring.StatusUp {
			t.Errorf("%s is %s", node.ID, node.Status)
		}
	}
}
