package dataplane

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// TestTunnel: both sides see the heads as they should be, and every octet around and behind them.
func TestTunnel(t *testing.T) {
	node := startTalker(t, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, agrees+"early down")
		_, _ = io.Copy(conn, conn)
	})
	view := ringOf(t, 1, 7, up("n1", node.address()))
	proxy, _ := start(t, view)
	conn := dial(t, proxy)
	say(t, conn, "GET /kv/a?x HTTP/1.1\r\n"+asks+"Stead-Show: node\r\nX-Kept: 1\r\n\r\nearly up")
	want := "GET /kv/a?x HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Version: 13\r\nX-Kept: 1\r\n" + stamps(view, "a") +
		"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	if got := node.next(t).raw; got != want {
		t.Errorf("the node got\n%q, want\n%q", got, want)
	}
	shown := fmt.Sprintf("Stead-Node: n1\r\nStead-Slot: %d\r\nStead-Epoch: 7\r\n", view.Slot([]byte("a")))
	hear(t, conn, strings.Replace(agrees, "Connection", shown+"Connection", 1)+"early down"+"early up")
	for range 3 {
		say(t, conn, hello)
		hear(t, conn, hello)
	}
	until(t, "one tunnel", func() bool { return proxy.tunnels.count() == 1 && proxy.metrics.inFlight.Load() == 0 })
	_ = conn.(*net.TCPConn).CloseWrite()
	hearEnd(t, conn)
	until(t, "none", func() bool { return proxy.tunnels.count() == 0 && node.connections() == 0 })
	if stats := &proxy.nodes.Stats; stats.Connects.Load() != 1 || stats.Reuses.Load() != 0 {
		t.Errorf("%d connects, %d reuses", stats.Connects.Load(), stats.Reuses.Load())
	}
}

// TestNoTunnel: where none is asked for, or may be, the request is an ordinary one.
func TestNoTunnel(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ringOf(t, 1, 1, up("n1", node.address()))
	proxy, _ := start(t, view)
	f := func(version, fields string) {
		t.Helper()
		served(t, proxy, "GET /kv/a HTTP/"+version+"\r\nHost: h\r\n"+fields+"\r\n", "ok")
		want := "GET /kv/a HTTP/1.1\r\nHost: h\r\n" + stamps(view, "a") + "\r\n"
		if got := node.next(t).raw; got != want {
			t.Errorf("%q: the node got %q", fields, got)
		}
	}
	f("1.1", "Upgrade: websocket\r\n")
	f("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n")
	f("1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n")
	f("1.1", "Connection: Upgrade\r\nUpgrade: H2C, HTTP/2.0\r\nUpgrade: TLS/1.2\r\n")
	f("1.1", "Connection: Upgrade\r\nUpgrade: stead-replication/1, Stead-Mux/1\r\n")
	f("1.1", "Connection: Upgrade\r\n")

	// Some of several offers pass.
	served(t, proxy, "GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c, chat/2\r\nUpgrade: websocket\r\n\r\n", "ok")
	if got := node.next(t).raw; !strings.HasSuffix(got, "Connection: Upgrade\r\nUpgrade: chat/2, websocket\r\n\r\n") {
		t.Errorf("the node got %q", got)
	}
	for _, body := range []string{"Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"} {
		response, problem := ask(t, proxy, "POST /kv/a HTTP/1.1\r\n"+asks+body)
		if response.StatusCode != 501 || !strings.Contains(problem, "upgrade_unsupported") {
			t.Errorf("%q: %s %s", body, response.Status, problem)
		}
	}
	node.none(t)
}

// TestTunnelRefused: an answer other than 101 is an ordinary one, and so is what follows on the client's connection;
// the node's is not used again.
func TestTunnelRefused(t *testing.T) {
	node := startNode(t, answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	conn := dial(t, proxy)
	reader := bufio.NewReader(conn)
	for _, fields := range []string{asks, "Host: h\r\n", asks} {
		say(t, conn, "GET /kv/a HTTP/1.1\r\n"+fields+"\r\n")
		if response, body := readAnswer(t, reader); response.StatusCode != 403 || body != "no" || response.Header.Get("Connection") != "" {
			t.Errorf("got %s %v %s", response.Status, response.Header, body)
		}
		node.next(t)
	}
	if stats := &proxy.nodes.Stats; stats.Connects.Load() != 3 || stats.Reuses.Load() != 0 || proxy.tunnels.total.Load() != 0 {
		t.Errorf("%d connects, %d reuses", stats.Connects.Load(), stats.Reuses.Load())
	}
	until(t, "the end of all but one", func() bool { return node.connections() == 1 })
}

// TestFalseTunnels: a node that changes to something else is not followed there.
func TestFalseTunnels(t *testing.T) {
	for _, fields := range []string{
		"Connection: Upgrade\r\nUpgrade: h2c\r\n", "Connection: Upgrade\r\n", "Upgrade: websocket\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: websocket, chat\r\n",
	} {
		node := startTalker(t, func(conn net.Conn, _ string) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n"+fields+"\r\n")
			_, _ = io.Copy(io.Discard, conn)
		})
		proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
		response, body := ask(t, proxy, "GET /kv/a HTTP/1.1\r\n"+asks+"\r\n")
		if response.StatusCode != 502 || !strings.Contains(body, "owner_failed") {
			t.Errorf("%q: %s %s", fields, response.Status, body)
		}
		until(t, "the end of the connection", func() bool { return node.connections() == 0 })
	}
}
