package dataplane

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
)

const (
	// asks is the head of a WebSocket client's request, but for its first line and its end.
	asks = "Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	// agrees is a node's answer, as it is passed on.
	agrees = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	// movedFrame and leavingFrame are Close frames of 1012 and 1001.
	movedFrame   = "\x88\x07\x03\xf4moved"
	leavingFrame = "\x88\x09\x03\xe9leaving"
	hello        = "\x81\x05hello" // as from a server: nodes of tests send back what they get
)

// startTalker runs a node that does as it likes with each connection behind the head of its first request.
func startTalker(t testing.TB, talk func(conn net.Conn, head string)) *rawNode {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &rawNode{listener: listener, requests: make(chan received, 2048), conns: make(map[net.Conn]int)}
	n.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.track(conn, true)
			n.serving.Go(func() {
				defer n.track(conn, false)
				defer func() { _ = conn.Close() }()
				if conn, head := readHead(conn); head != "" {
					n.requests <- received{raw: head}
					talk(conn, head)
				}
			})
		}
	})
	t.Cleanup(n.stop)
	return n
}

// startEcho runs a node that changes to WebSocket and sends back what it gets.
func startEcho(t testing.TB) *rawNode {
	return startTalker(t, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, agrees)
		_, _ = io.Copy(conn, conn)
	})
}

// behindHead is a connection whose head was read.
type behindHead struct {
	net.Conn
	reader *bufio.Reader
}

func (b behindHead) Read(p []byte) (int, error) { return b.reader.Read(p) }

// readHead reads the head of a request; "" if it does not come.
func readHead(conn net.Conn) (behind net.Conn, head string) {
	reader := bufio.NewReader(conn)
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := reader.ReadString('\n')
		if err != nil {
			return conn, ""
		}
		head += line
	}
	return behindHead{conn, reader}, head
}

func say(t testing.TB, conn net.Conn, octets string) {
	t.Helper()
	if _, err := io.WriteString(conn, octets); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, conn net.Conn, want string) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, want %q", got[:n], err, want)
	}
}

// hearEnd asserts that nothing comes any more.
func hearEnd(t testing.TB, conn net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Fatalf("heard %q, %v, want the end", rest, err)
	}
}

// join opens a WebSocket for a key, as far as proxies know.
func join(t testing.TB, proxy *Proxy, key string) net.Conn {
	t.Helper()
	conn := dial(t, proxy)
	say(t, conn, "GET /kv/"+key+" HTTP/1.1\r\n"+asks+"\r\n")
	hear(t, conn, agrees)
	return conn
}

// TestTunnelFollows: a 421 is followed as for any request, and the ring that is behind ends nothing.
func TestTunnelFollows(t *testing.T) {
	echo := startEcho(t)
	old := startNode(t, answer("HTTP/1.1 421 Misdirected Request\r\nStead-Epoch: 9\r\nStead-Owner: n2\r\nContent-Length: 0\r\n\r\n"))
	nodes := []ring.Node{up("n1", old.address()), up("n2", echo.address())}
	proxy, control := start(t, held(t, 1, 1, 0, nodes...))
	conn := join(t, proxy, "a")
	if got := echo.next(t).raw; !strings.Contains(got, "Stead-Epoch: 9\r\n") {
		t.Errorf("the node got %q", got)
	}
	table := proxy.routes.Table()
	control.publish(held(t, 2, 8, 0, nodes...)) // still behind
	<-table.Superseded
	table = proxy.routes.Table()
	control.publish(held(t, 3, 9, 1, nodes...)) // caught up
	<-table.Superseded
	say(t, conn, hello)
	hear(t, conn, hello)
	control.publish(held(t, 4, 10, 0, nodes...)) // back
	hear(t, conn, movedFrame)
}

// held makes a ring where one node has all slots at an epoch.
func held(t testing.TB, number uint64, epoch uint64, by ring.NodeIndex, nodes ...ring.Node) *ring.View {
	return movedView(t, number, epoch, nodes, func(int) ring.NodeIndex { return by })
}

func movedView(t testing.TB, number, epoch uint64, nodes []ring.Node, owner func(slot int) ring.NodeIndex) *ring.View {
	t.Helper()
	return viewOf(t, number, func(table *ring.Table) {
		table.Nodes = nodes
		for slot := range table.Epochs {
			table.Epochs[slot], table.Owners[slot] = api.Epoch(epoch), owner(slot)
		}
	}, func(*api.Settings) {})
}

// TestTunnelsThroughAChange: of a thousand WebSockets those whose slots move are told so and end, and no other
// notices anything.
func TestTunnelsThroughAChange(t *testing.T) {
	const clients, moves = 1000, 16
	nodes := []ring.Node{up("n1", startEcho(t).address()), up("n2", startEcho(t).address())}
	proxy, control := start(t, movedView(t, 1, 1, nodes, func(slot int) ring.NodeIndex { return ring.NodeIndex(slot % 2) }))
	conns := make([]net.Conn, clients)
	for i := range conns {
		conns[i] = dial(t, proxy)
		say(t, conns[i], "GET /kv/"+fmt.Sprint(i)+" HTTP/1.1\r\n"+asks+"\r\n")
	}
	for _, conn := range conns {
		hear(t, conn, agrees)
	}
	after := movedView(t, 2, 2, nodes, func(slot int) ring.NodeIndex {
		if slot < moves {
			return ring.NodeIndex((slot + 1) % 2)
		}
		return ring.NodeIndex(slot % 2)
	})
	control.publish(after)
	moved := 0
	for i, conn := range conns {
		if after.Slot(fmt.Append(nil, i)) < moves {
			moved++
			hear(t, conn, movedFrame)
			hearEnd(t, conn)
			_ = conn.Close()
			continue
		}
		say(t, conn, hello)
		hear(t, conn, hello)
	}
	until(t, "the others alone", func() bool { return proxy.tunnels.count() == float64(clients-moved) })
	if got := proxy.tunnels.moved.Load(); moved == 0 || got != uint64(moved) {
		t.Errorf("%d moved, %d are counted", moved, got)
	}
}

// TestTunnelsAreHeld: with hold a tunnel stays where it is.
func TestTunnelsAreHeld(t *testing.T) {
	nodes := []ring.Node{up("n1", startEcho(t).address()), up("n2", startEcho(t).address())}
	proxy, control := start(t, held(t, 1, 1, 0, nodes...), func(c *Config) { c.OnMove = OnMoveHold })
	conn := join(t, proxy, "a")
	table := proxy.routes.Table()
	control.publish(held(t, 2, 2, 1, nodes...))
	<-table.Superseded
	say(t, conn, hello)
	hear(t, conn, hello)
}

// TestTunnelsGone: whichever side goes takes the other along.
func TestTunnelsGone(t *testing.T) {
	leave := make(chan struct{})
	node := startTalker(t, func(conn net.Conn, head string) {
		_, _ = io.WriteString(conn, agrees)
		if strings.Contains(head, "/kv/leaves") {
			<-leave
			return
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	staying := join(t, proxy, "leaves")
	close(leave)
	hearEnd(t, staying)
	_ = staying.Close()
	gone := join(t, proxy, "stays").(*net.TCPConn)
	_ = gone.SetLinger(0)
	_ = gone.Close()
	until(t, "the end of both", func() bool { return proxy.tunnels.count() == 0 && node.connections() == 0 })
}

// TestTunnelsIdle: nothing moves for too long.
func TestTunnelsIdle(t *testing.T) {
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", startEcho(t).address())), func(c *Config) { c.TunnelIdle = 50 * time.Millisecond })
	hear(t, join(t, proxy, "a"), "\x88\x06\x03\xe9idle")
}

// TestTunnelsDrain: who closes waits for tunnels, and sends those away that outlast its patience.
func TestTunnelsDrain(t *testing.T) {
	node := startEcho(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	conns := []net.Conn{join(t, proxy, "a"), join(t, proxy, "b")}
	var closing sync.WaitGroup
	closing.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := proxy.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	until(t, "its leaving", func() bool { return proxy.leaving.Load() })
	for _, conn := range conns {
		say(t, conn, hello)
		hear(t, conn, hello)
	}
	_ = conns[0].Close()
	until(t, "one alone", func() bool { return proxy.tunnels.count() == 1 })
	hear(t, conns[1], leavingFrame)
	hearEnd(t, conns[1])
	_ = conns[1].Close()
	closing.Wait()
	until(t, "the end of all", func() bool { return node.connections() == 0 })
}

// TestTunnelsOverTLS: on both sides.
func TestTunnelsOverTLS(t *testing.T) {
	issue := authority.New(t)
	security := issue.Security(transport.RoleNode, "n1")
	listener, err := security.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		behind, _ := readHead(conn)
		_, _ = io.WriteString(conn, agrees)
		_, _ = io.Copy(conn, behind)
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	nodes := []ring.Node{up("n1", listener.Addr().String()), up("n2", "127.0.0.1:1")}
	proxy, control := start(t, held(t, 1, 1, 0, nodes...), func(c *Config) {
		c.Security = issue.Security(transport.RoleProxy, "p1")
		c.SecurityClients = c.Security
	})
	files := issue.Files(transport.RoleOperator, "ann")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", proxy.Addr(), &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	say(t, conn, "GET /kv/a HTTP/1.1\r\n"+asks+"\r\n"+hello)
	hear(t, conn, agrees+hello)
	say(t, conn, hello+hello)
	hear(t, conn, hello+hello)
	control.publish(held(t, 2, 2, 1, nodes...))
	hear(t, conn, movedFrame)
	hearEnd(t, conn)
}

// TestTunnelWithoutAKey: where requests need none, tunnels neither do, nor do they move.
func TestTunnelWithoutAKey(t *testing.T) {
	node := startEcho(t)
	view := viewOf(t, 1, func(table *ring.Table) { table.Nodes = []ring.Node{up("n1", node.address())} },
		func(settings *api.Settings) { settings.NoKey = api.NoKeyAny })
	proxy, _ := start(t, view)
	conn := dial(t, proxy)
	say(t, conn, "GET / HTTP/1.1\r\n"+asks+"\r\n")
	hear(t, conn, agrees)
	if got := node.next(t).raw; strings.Contains(got, "Stead-") {
		t.Errorf("the node got %q", got)
	}
}
