package dataplane

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api/ring"
)

// awaited runs a node in net/http whose handler tells of each request, by its path, when it begins and when its
// context ends; those below /kv/stream answer half, those below /kv/ok answer whole after a while.
func awaited(t *testing.T) (node *httptest.Server, begun, ended chan string) {
	t.Helper()
	begun, ended = make(chan string, 8), make(chan string, 8)
	node = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		begun <- r.URL.Path
		switch {
		case strings.HasPrefix(r.URL.Path, "/kv/stream"):
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		case strings.HasPrefix(r.URL.Path, "/kv/ok"):
			select {
			case <-time.After(400 * time.Millisecond):
			case <-r.Context().Done():
				ended <- r.URL.Path
			}
			return
		}
		<-r.Context().Done()
		ended <- r.URL.Path
	}))
	t.Cleanup(node.Close)
	return node, begun, ended
}

func await(t *testing.T, what string, events <-chan string, want string) {
	t.Helper()
	select {
	case got := <-events:
		if got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	case <-time.After(patience):
		t.Fatalf("%s of %s did not come about", what, want)
	}
}

// TestClientLeaves: a node's request ends with its client, whatever stands unread between them.
func TestClientLeaves(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("clients are watched on Linux")
	}
	node, begun, ended := awaited(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.Listener.Addr().String())))
	f := func(name, path, octets string, leave func(net.Conn)) {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, proxy)
			_, _ = io.WriteString(conn, octets)
			await(t, "the beginning", begun, path)
			leave(conn)
			left := time.Now()
			await(t, "the end", ended, path)
			if took := time.Since(left); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	request := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }
	closed := func(conn net.Conn) { _ = conn.Close() }
	f("while its answer is awaited", "/kv/a", request("/kv/a"), closed)
	f("at once", "/kv/b", request("/kv/b"), func(conn net.Conn) {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	f("with a request waiting", "/kv/c", request("/kv/c")+request("/kv/never"), closed)
	f("behind a body", "/kv/d", "PUT /kv/d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", closed)
	f("behind a long body", "/kv/e", "PUT /kv/e HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n"+strings.Repeat("x", 200000), closed)
	f("while its answer streams", "/kv/stream", request("/kv/stream"), func(conn net.Conn) {
		got := make([]byte, 4<<10)
		if _, err := conn.Read(got); err != nil {
			t.Error(err)
		}
		closed(conn)
	})
	f("of the first side", "/kv/f", request("/kv/f"), func(conn net.Conn) {
		_ = conn.(*net.TCPConn).CloseWrite()
		if got, closed := listen(t, conn); !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, `"code":"client_gone"`) || !closed {
			t.Errorf("it got %q, closed %v", got, closed)
		}
	})
	if _, metrics := get(t, proxy, "/metrics"); !strings.Contains(metrics, `problem="client_gone"} `) {
		t.Error("nobody counts them")
	}
	select {
	case path := <-begun:
		t.Errorf("the node got %s", path)
	default:
	}
}

// TestClientStays: while its answer is awaited a client may send more requests, one by one: none is lost. One
// that closes its side and is answered at once gets its answer.
func TestClientStays(t *testing.T) {
	node, begun, ended := awaited(t)
	quick := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.Listener.Addr().String())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "GET /kv/ok1 HTTP/1.1\r\nHost: h\r\n\r\n")
	await(t, "the beginning", begun, "/kv/ok1")
	time.Sleep(250 * time.Millisecond) // it is watched by now
	for _, octets := range []string{"GET /kv/ok2 HT", "TP/1.1\r\nHost: h\r\n\r\n", "GET /kv/ok3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"} {
		_, _ = io.WriteString(conn, octets)
	}
	reader := bufio.NewReader(conn)
	for range 3 {
		if response, _ := readAnswer(t, reader); response.StatusCode != 200 {
			t.Errorf("got %s", response.Status)
		}
	}
	if len(ended) > 0 {
		t.Errorf("%s was given up", <-ended)
	}

	direct, _ := start(t, ringOf(t, 1, 1, up("n1", quick.address())))
	half := dial(t, direct)
	_, _ = io.WriteString(half, getA)
	_ = half.(*net.TCPConn).CloseWrite()
	if got, closed := listen(t, half); got != okAnswer || !closed {
		t.Errorf("a client that closed its side got %q, closed %v", got, closed)
	}
}

// TestClientLeavesASearch: nothing is sent for a client that left while its node was looked for.
func TestClientLeavesASearch(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("clients are watched on Linux")
	}
	node := startNode(t, answer(notOwner(1, "n1"))) // knows no more than the proxy: a newer ring is waited for
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	other := startNode(t, answer(okAnswer))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, getA)
	node.next(t)
	_ = conn.Close()
	until(t, "the end of the request", func() bool { return proxy.metrics.inFlight.Load() == 0 })
	fake.publish(ringOf(t, 2, 2, ring.Node{ID: "n2", Address: other.address(), Status: ring.StatusUp}))
	other.none(t)
}
