package dataplane

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// notOwner is a guard's answer of a node that does not hold the slot.
func notOwner(epoch int, owner string) string {
	return fmt.Sprintf("HTTP/1.1 421 Misdirected Request\r\nStead-Epoch: %d\r\nStead-Owner: %s\r\nContent-Length: 2\r\n\r\nno", epoch, owner)
}

func named(name string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
}

const getA = "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n"

// refused asserts a problem answer.
func refused(t *testing.T, proxy *Proxy, octets string, status int, code string) {
	t.Helper()
	response, body := ask(t, proxy, octets)
	if response.StatusCode != status || !strings.Contains(body, `"code":"`+code+`"`) || response.Header.Get("Content-Type") != api.ProblemType {
		t.Errorf("got %s %s, want %d %s", response.Status, body, status, code)
	}
	if retry := response.Header.Get("Retry-After") != ""; retry != (status >= 502) {
		t.Errorf("%s: Retry-After is %q", code, response.Header.Get("Retry-After"))
	}
}

// served asserts an answer with a body.
func served(t *testing.T, proxy *Proxy, octets, want string) {
	t.Helper()
	if response, body := ask(t, proxy, octets); response.StatusCode != 200 || body != want {
		t.Errorf("got %s %q, want %q", response.Status, body, want)
	}
}

// TestKeys: requests whose key has more than one reading, or none.
func TestKeys(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	get := func(target, headers string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n"
	}
	refused(t, proxy, get("/", ""), 400, "no_key")
	refused(t, proxy, get("/kv/", ""), 400, "no_key")
	refused(t, proxy, get("/", "X-Shard-Key: a\r\nX-Shard-Key: b\r\n"), 400, "bad_key")
	refused(t, proxy, get("/", "X-Shard-Key: a\r\nX_Shard_Key: a\r\n"), 400, "bad_key")
	refused(t, proxy, get("/", "X-Shard-Key: a\r\nConnection: X-Shard-Key\r\n"), 400, "bad_key")
	refused(t, proxy, get("/", "X-Shard-Key:\r\n"), 400, "bad_key")
	refused(t, proxy, get("/", "X-Shard-Key: a\tb\r\n"), 400, "bad_key")
	refused(t, proxy, get("/", "X-Shard-Key: "+strings.Repeat("k", 1025)+"\r\n"), 400, "bad_key")
	refused(t, proxy, get("/kv/%zz", ""), 400, "bad_key")
	refused(t, proxy, get("/?tenant=a&tenant=b", ""), 400, "bad_key")
	refused(t, proxy, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", 400, "no_key")
	node.none(t)
	served(t, proxy, get("/", "X-Shard-Key: "+strings.Repeat("k", 1024)+"\r\n"), "ok")
	served(t, proxy, get("/kv/"+strings.Repeat("%00", 1024), ""), "ok")
}

// TestUnforwarded: what this proxy does not do yet.
func TestUnforwarded(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	f := func(octets, code string) {
		t.Helper()
		response, body := ask(t, proxy, octets)
		if response.StatusCode != 501 || !strings.Contains(body, `"code":"`+code+`"`) {
			t.Errorf("got %s %s", response.Status, body)
		}
	}
	f("POST /kv/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx", "upgrade_unsupported")
	f("CONNECT internal:443 HTTP/1.1\r\nHost: internal:443\r\n\r\n", "connect_unsupported")
	hidden := "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\nContent-Length: 4\r\n\r\nbody" + getA
	if got, closed := talk(t, proxy, hidden); strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 501 ") || !closed {
		t.Errorf("behind CONNECT the client got %q, closed %v", got, closed)
	}
	node.none(t)
}

// TestOwners: what becomes of a request by the state of its slot and node.
func TestOwners(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	f := func(name string, view *ring.View, status int, code string) {
		t.Run(name, func(t *testing.T) {
			proxy, _ := start(t, view, func(c *Config) { c.FirstWait = 10 * time.Millisecond })
			if code == "" {
				served(t, proxy, getA, "ok")
				node.next(t)
				return
			}
			refused(t, proxy, getA, status, code)
			refused(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", status, code)
			if proxy.nodes.Stats.Connects.Load() != 0 {
				t.Error("the node was dialled")
			}
			node.none(t)
		})
	}
	with := func(status ring.Status) *ring.View {
		return ringOf(t, 1, 1, ring.Node{ID: "n1", Address: node.address(), Status: status})
	}
	f("no ring", nil, 503, "no_ring")
	f("unassigned", ringOf(t, 1, 1), 503, "slot_unassigned")
	f("down", with(ring.StatusDown), 503, "owner_down")
	f("up", with(ring.StatusUp), 200, "")
	f("suspect", with(ring.StatusSuspect), 200, "")
	f("draining", with(ring.StatusDraining), 200, "")
}

// TestUnreachable: a node that the ring calls alive is dialled again for a while, and by a newer
// ring as soon as there is one.
func TestUnreachable(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := nobody.Addr().String()
	_ = nobody.Close()
	node := startNode(t, answer(okAnswer))

	patient, _ := start(t, ringOf(t, 1, 1, up("n1", dead)))
	began := time.Now()
	refused(t, patient, "POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", 503, "owner_down")
	if took := time.Since(began); took < dialPatience/2 || took > patience/2 {
		t.Errorf("given up after %v", took)
	}
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", dead)))
	time.AfterFunc(100*time.Millisecond, func() { fake.publish(ringOf(t, 2, 2, up("n1", node.address()))) })
	served(t, proxy, "POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", "ok")
	if request := node.next(t); request.body != "hi" || !strings.Contains(request.raw, "Stead-Epoch: 2\r\n") {
		t.Errorf("the node received %q", request.raw)
	}
	fake.publish(ringOf(t, 3, 3, ring.Node{ID: "n1", Address: dead, Status: ring.StatusDown}))
	until(t, "ring 3", func() bool { return proxy.routes.Table().View.Table.Version.Number == 3 })
	refused(t, proxy, getA, 503, "owner_down")
}

// TestMoved: the answers of nodes that do not hold the slot.
func TestMoved(t *testing.T) {
	t.Run("followed", func(t *testing.T) {
		second := startNode(t, answer(named("second")))
		first := startNode(t, answer(notOwner(6, "n2")))
		view := ringOf(t, 1, 5, up("n1", first.address()))
		view = viewOf(t, 1, func(table *ring.Table) {
			*table = *view.Table.Clone()
			table.Nodes = append(table.Nodes, up("n2", second.address()))
		}, func(*api.Settings) {})
		proxy, _ := start(t, view)
		for _, request := range []string{getA,
			"POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
			"POST /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			"POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000000)} {
			served(t, proxy, request, "second")
			sent, again := first.next(t), second.next(t)
			if sent.body != again.body || strings.Replace(sent.raw, "Stead-Epoch: 5", "Stead-Epoch: 6", 1) != again.raw && len(sent.raw) < 1000 {
				t.Errorf("the second node received\n%q, the first\n%q", again.raw, sent.raw)
			}
		}
	})

	t.Run("only strictly newer, only known nodes, only so far", func(t *testing.T) {
		answers := make(chan string, 16)
		var nodes [2]*rawNode
		for i := range nodes {
			nodes[i] = startNode(t, func(conn net.Conn, _ int, _ received) bool {
				_, err := io.WriteString(conn, <-answers)
				return err == nil
			})
		}
		view := viewOf(t, 1, func(table *ring.Table) {
			table.Nodes = []ring.Node{up("n1", nodes[0].address()), up("n2", nodes[1].address())}
			for slot := range table.Epochs {
				table.Epochs[slot], table.Owners[slot] = 5, 0
			}
		}, func(*api.Settings) {})
		proxy, _ := start(t, view)
		took := func(scripted ...string) (requests [2]int) {
			t.Helper()
			for _, one := range scripted {
				answers <- one
			}
			served(t, proxy, getA, "ok")
			for i := range nodes {
				for len(nodes[i].requests) > 0 {
					<-nodes[i].requests
					requests[i]++
				}
			}
			return requests
		}
		f := func(want [2]int, scripted ...string) {
			t.Helper()
			if got := took(scripted...); got != want {
				t.Errorf("%q: requests %v, want %v", scripted, got, want)
			}
		}
		f([2]int{2, 0}, notOwner(5, "n2"), okAnswer)           // no newer than what was asked with
		f([2]int{2, 0}, notOwner(4, "n2"), okAnswer)           // older
		f([2]int{2, 0}, notOwner(6, "n9"), okAnswer)           // nobody of that name
		f([2]int{2, 0}, notOwner(6, "127.0.0.1:80"), okAnswer) // an address is no name
		f([2]int{2, 0}, notOwner(6, ""), okAnswer)             // nobody
		f([2]int{1, 1}, notOwner(6, "n2"), okAnswer)           // followed
		f([2]int{2, 1}, notOwner(6, "n2"), notOwner(7, "n1"), okAnswer)
		f([2]int{2, 2}, notOwner(6, "n2"), notOwner(7, "n1"), notOwner(8, "n2"), okAnswer)
		f([2]int{3, 2}, notOwner(6, "n2"), notOwner(7, "n1"), notOwner(8, "n2"), notOwner(9, "n1"), okAnswer) // the fourth is waited for
	})

	t.Run("waits for a newer ring", func(t *testing.T) {
		first := startNode(t, answer(notOwner(6, "n2")))
		second := startNode(t, answer(named("second")))
		proxy, fake := start(t, ringOf(t, 1, 5, up("n1", first.address())))
		time.AfterFunc(50*time.Millisecond, func() { fake.publish(ringOf(t, 2, 6, up("n2", second.address()))) })
		served(t, proxy, getA, "second")
	})

	t.Run("gives up at the deadline", func(t *testing.T) {
		node := startNode(t, answer(notOwner(6, "n2")))
		proxy, _ := start(t, ringOf(t, 1, 5, up("n1", node.address())), func(c *Config) { c.Deadline = 300 * time.Millisecond })
		refused(t, proxy, getA, 503, "slot_moving")
	})

	t.Run("not with a body that is gone", func(t *testing.T) {
		node := startNode(t, answer(notOwner(6, "n2")))
		proxy, _ := start(t, ringOf(t, 1, 5, up("n1", node.address())))
		size := 2 << 20
		refused(t, proxy, fmt.Sprintf("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)), 503, "slot_moving")
	})

	t.Run("the service's own", func(t *testing.T) {
		node := startNode(t, answer("HTTP/1.1 421 Misdirected Request\r\nStead-Owner: n2\r\nContent-Length: 4\r\n\r\nmine"))
		proxy, _ := start(t, ringOf(t, 1, 5, up("n1", node.address())))
		response, body := ask(t, proxy, getA)
		if response.StatusCode != 421 || body != "mine" || response.Header.Get("Stead-Owner") != "" {
			t.Errorf("got %s %v %q", response.Status, response.Header, body)
		}
	})
}

// TestMovedBeforeTheBody: a body too long to be sent twice waits for 100 (Continue), so that a 421
// comes before it.
func TestMovedBeforeTheBody(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	head := make(chan string, 1)
	go func() {
		conn, err := first.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		reader, all := bufio.NewReader(conn), ""
		for !strings.HasSuffix(all, "\r\n\r\n") && err == nil {
			var line string
			line, err = reader.ReadString('\n')
			all += line
		}
		head <- all
		_, _ = io.WriteString(conn, notOwner(6, "n2"))
		_, _ = io.Copy(io.Discard, reader)
	}()
	second := startNode(t, answer(named("second")))
	view := viewOf(t, 1, func(table *ring.Table) {
		table.Nodes = []ring.Node{up("n1", first.Addr().String()), up("n2", second.address())}
		for slot := range table.Epochs {
			table.Epochs[slot], table.Owners[slot] = 5, 0
		}
	}, func(*api.Settings) {})
	proxy, _ := start(t, view)
	size := 3 << 20
	served(t, proxy, fmt.Sprintf("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)), "second")
	if sent := <-head; !strings.Contains(sent, "\r\nExpect: 100-continue\r\n") {
		t.Errorf("the first node received %q", sent)
	}
	if request := second.next(t); len(request.body) != size {
		t.Errorf("the second node received %d octets", len(request.body))
	}
}

// TestAnyNode: requests without a key, where the cluster takes them, go to the nodes that are up in
// turns, past those that cannot be reached, and without a stamp.
func TestAnyNode(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := nobody.Addr().String()
	_ = nobody.Close()
	nodes := []*rawNode{startNode(t, answer(named("n1"))), startNode(t, answer(named("n2")))}
	view := viewOf(t, 1, func(table *ring.Table) {
		table.Nodes = []ring.Node{
			up("n1", nodes[0].address()), up("n2", nodes[1].address()), up("gone", dead),
			{ID: "down", Address: dead, Status: ring.StatusDown},
		}
	}, func(settings *api.Settings) { settings.NoKey = api.NoKeyAny })
	proxy, _ := start(t, view)
	for range 9 {
		response, _ := ask(t, proxy, "GET / HTTP/1.1\r\nHost: h\r\nStead-Key: evil\r\nStead-Show: node\r\n\r\n")
		if node := response.Header.Get("Stead-Node"); response.StatusCode != 200 || node != "n1" && node != "n2" || response.Header.Get("Stead-Slot") != "" {
			t.Errorf("got %s %v", response.Status, response.Header)
		}
	}
	for _, node := range nodes {
		if len(node.requests) < 3 {
			t.Errorf("a node got %d of 9 requests", len(node.requests))
		}
		if request := node.next(t); strings.Contains(strings.ToLower(request.raw), "stead-") {
			t.Errorf("the node received %q", request.raw)
		}
	}
	refused(t, proxy, "GET / HTTP/1.1\r\nHost: h\r\nX-Shard-Key:\r\n\r\n", 400, "bad_key")
}

// TestShow: on request the answer names node, slot and epoch.
func TestShow(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ringOf(t, 1, 9, up("n1", node.address()))
	proxy, _ := start(t, view)
	response, _ := ask(t, proxy, "GET /kv/a HTTP/1.1\r\nHost: h\r\nstead-show: node\r\n\r\n")
	slot, _, _, _ := view.Locate([]byte("a"))
	if response.Header.Get("Stead-Node") != "n1" || response.Header.Get("Stead-Slot") != fmt.Sprint(slot) || response.Header.Get("Stead-Epoch") != "9" {
		t.Errorf("got %v", response.Header)
	}
	response, _ = ask(t, proxy, getA)
	for name := range response.Header {
		if strings.HasPrefix(name, "Stead-") {
			t.Errorf("unasked, %s is shown", name)
		}
	}
}

// TestExpect: 100 (Continue) comes when the body is wanted, and not from the node.
func TestExpect(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	for _, expectation := range []string{"100-continue", "100-Continue"} {
		conn := dial(t, proxy)
		_, _ = io.WriteString(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: "+expectation+"\r\n\r\n")
		const want = "HTTP/1.1 100 Continue\r\n\r\n"
		interim := make([]byte, len(want))
		if _, err := io.ReadFull(conn, interim); err != nil || string(interim) != want {
			t.Fatalf("got %q, %v", interim, err)
		}
		_, _ = io.WriteString(conn, "hello")
		if got, _ := listen(t, conn); got != okAnswer {
			t.Errorf("got %q", got)
		}
		if request := node.next(t); request.body != "hello" || strings.Contains(request.raw, "Expect") {
			t.Errorf("the node received %q", request.raw)
		}
	}
	// A client that does not wait gets no interim answer.
	if got, _ := talk(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"); got != okAnswer {
		t.Errorf("got %q", got)
	}
	node.next(t)
}
