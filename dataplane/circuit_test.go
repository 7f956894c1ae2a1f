package dataplane

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/forward"
)

// TestCircuit: what opens it, who may try then, and what closes it.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c circuits
		n1, elsewhere := forward.Target{Node: "n1", Address: "a:1"}, forward.Target{Node: "n1", Address: "b:1"}
		admits := func(to forward.Target, want string) {
			t.Helper()
			may, probes := c.admit(to)
			if got := fmt.Sprint(may, probes); got != want {
				t.Errorf("after %v: %s, want %s", time.Now(), got, want)
			}
		}
		fail := func(times int, every time.Duration) (opened int) {
			for range times {
				if c.failed(n1, time.Now()) {
					opened++
				}
				time.Sleep(every)
			}
			return opened
		}
		if fail(100, time.Millisecond) != 0 { // many, but in a moment
			t.Error("opened by a moment")
		}
		time.Sleep(time.Second)
		admits(n1, "true false")
		c.connected(n1)
		if c.troubled.Load() != 0 || fail(circuitFailures-1, time.Second) != 0 { // long, but few
			t.Error("opened by few")
		}
		time.Sleep(circuitMemory)
		if fail(1, 0) != 0 {
			t.Error("opened by what was long ago")
		}
		time.Sleep(circuitPatience)
		if fail(circuitFailures, time.Millisecond) != 1 || len(c.givenUp()) != 1 {
			t.Error("not opened")
		}
		admits(n1, "false false")
		admits(elsewhere, "true false")
		time.Sleep(probeEvery)
		admits(n1, "true true")
		admits(n1, "false false") // one at a time
		time.Sleep(probeEvery)
		admits(n1, "false false")
		time.Sleep(probeLease)
		admits(n1, "true true") // nobody knows what became of the other
		fail(1, 0)
		admits(n1, "false false")
		time.Sleep(probeEvery)
		admits(n1, "true true")
		if !c.connected(n1) || c.connected(n1) || c.troubled.Load() != 0 {
			t.Error("not closed, or twice")
		}
		admits(n1, "true false")
	})
}

// TestCircuitsForget: nodes of rings that have passed do not gather.
func TestCircuitsForget(t *testing.T) {
	var c circuits
	now := time.Now()
	for i := range 100 {
		c.failed(forward.Target{Node: "n1", Address: fmt.Sprint("a:", i)}, now)
		now = now.Add(circuitMemory / 4)
	}
	if len(c.nodes) > 5 {
		t.Errorf("%d are remembered", len(c.nodes))
	}
}

// gate is a node that refuses connections until it opens, at the same address.
func gate(t *testing.T) (address string, open func()) {
	t.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = closed.Addr().String()
	_ = closed.Close()
	return address, func() {
		t.Helper()
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
				_ = conn.Close()
			}
		}()
	}
}

// TestFailsFast: requests for a node that refuses connections are patient for a while, and then refused at once; they
// are served from the first that finds it back, and at another address at once.
func TestFailsFast(t *testing.T) {
	address, open := gate(t)
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", address)))
	var asking sync.WaitGroup
	for i := range 4 {
		asking.Go(func() {
			time.Sleep(time.Duration(i) * dialPatience / 10) // the later ones are under way when the node is given up
			refused(t, proxy, getA, 503, "owner_down")
		})
	}
	asking.Wait()
	metric(t, proxy, "stead_proxy_upstream_given_up_nodes 1")
	began := time.Now()
	const hasty = 50
	for range hasty {
		refused(t, proxy, getA, 503, "owner_down")
	}
	if took := time.Since(began); took > dialPatience {
		t.Errorf("%d requests were refused in %v", hasty, took)
	}
	dials := proxy.nodes.Stats.ConnectFailures.Load()
	if most := 4*dialsOf(dialPatience) + uint64(time.Since(began)/probeEvery) + 1; dials > most || proxy.metrics.givenUp.Load() == 0 {
		t.Errorf("%d dials, %d at most", dials, most)
	}

	open()
	until(t, "the node to be found", func() bool {
		_, body := ask(t, proxy, getA)
		return body == "ok"
	})
	for range 20 {
		served(t, proxy, getA, "ok")
	}
	metric(t, proxy, "stead_proxy_upstream_given_up_nodes 0")

	elsewhere := startNode(t, answer(okAnswer))
	fake.publish(ringOf(t, 2, 2, up("n1", elsewhere.address())))
	until(t, "ring 2", func() bool { return proxy.routes.Table().View.Table.Version.Number == 2 })
	served(t, proxy, getA, "ok")
}

// dialsOf is how often one request dials a node in vain.
func dialsOf(patience time.Duration) (dials uint64) {
	for pause := dialPauseMin; patience > 0; pause = min(2*pause, dialPauseMax) {
		patience -= pause
		dials++
	}
	return dials + 1
}

// giveUp has a proxy give a node up, as many failures do.
func giveUp(t *testing.T, proxy *Proxy, node ring.Node) {
	t.Helper()
	to, now := forward.Target{Node: node.ID, Address: node.Address}, time.Now()
	for i := range circuitFailures {
		proxy.circuits.failed(to, now.Add(-circuitPatience+circuitPatience*time.Duration(i)/(circuitFailures-1)))
	}
	if len(proxy.circuits.givenUp()) == 0 {
		t.Fatal("it is not given up")
	}
}

// TestRingKnowsBetter: a node that the ring says is down, and then up, is tried by everybody again.
func TestRingKnowsBetter(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	n1 := up("n1", node.address())
	proxy, fake := start(t, ringOf(t, 1, 1, n1))
	giveUp(t, proxy, n1)
	refused(t, proxy, getA, 503, "owner_down")
	down := n1
	down.Status = ring.StatusDown
	publish := func(number uint64, node ring.Node) {
		fake.publish(ringOf(t, number, 1, node))
		until(t, "the ring", func() bool { return proxy.routes.Table().View.Table.Version.Number == number })
	}
	publish(2, down)
	refused(t, proxy, getA, 503, "owner_down")
	publish(3, n1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { served(t, proxy, getA, "ok") })
	}
	all.Wait()
}

// TestWithoutKeyPastGivenUp: requests that may go anywhere go past a node that is given up.
func TestWithoutKeyPastGivenUp(t *testing.T) {
	var asked atomic.Int64
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		asked.Add(1)
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	})
	dead, _ := gate(t)
	n1, n2 := up("n1", dead), up("n2", node.address())
	proxy, _ := start(t, viewOf(t, 1, func(table *ring.Table) {
		*table = *ringOf(t, 1, 1, n1, n2).Table
	}, func(settings *api.Settings) { settings.NoKey = api.NoKeyAny }))
	giveUp(t, proxy, n1)
	for range 10 {
		served(t, proxy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "ok")
	}
	if asked.Load() != 10 {
		t.Errorf("the other node was asked %d times", asked.Load())
	}
}

// TestLacksOfThisMachine: what this process lacks is not held against a node.
func TestLacksOfThisMachine(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if got := ofThisMachine(fmt.Errorf("cannot connect: %w", &net.OpError{Op: "dial", Err: err})); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	f(syscall.EMFILE, true)
	f(syscall.EADDRNOTAVAIL, true)
	f(syscall.ECONNREFUSED, false)
	f(syscall.EHOSTUNREACH, false)
}
