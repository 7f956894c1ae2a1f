package dataplane

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestSmuggling: whatever has two readings is refused, the connection closed, and no octet of it, nor
// of what follows, reaches a node.
func TestSmuggling(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	const okRequest = "GET /kv/first HTTP/1.1\r\nHost: h\r\n\r\n"
	const hidden = "GET /kv/hidden HTTP/1.1\r\nHost: h\r\n\r\n"
	// f sends octets, with what may hide behind them.
	f := func(name, octets string) {
		t.Run(name, func(t *testing.T) {
			got, closed := talk(t, proxy, octets+hidden)
			if !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") || !strings.Contains(got, `"code":"bad_request"`) ||
				!strings.Contains(got, "Connection: close\r\n") || strings.Count(got, "\r\n\r\n") != 1 {
				t.Errorf("got %q", got)
			}
			if !closed {
				t.Error("the connection stays open")
			}
			// Behind a request on the same connection it is refused alike.
			behind, closed := talk(t, proxy, okRequest+octets+hidden)
			if behind != okAnswer+got || !closed {
				t.Errorf("behind another request it got %q", behind)
			}
			reached := 1
			if strings.HasPrefix(name, "chunk") {
				reached = 3 // its head too, twice
			}
			for range reached {
				if request := node.next(t); request.err == nil && !strings.HasPrefix(request.raw, "GET /kv/first ") {
					t.Errorf("the node took %q for a whole request", request.raw)
				}
			}
			node.none(t)
		})
	}
	smuggled(f)
}

// TestRefusedBehindHEAD: what is no request is answered with a body, whatever the request before it was.
func TestRefusedBehindHEAD(t *testing.T) {
	node := startNode(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	f := func(octets, status, code string) {
		t.Helper()
		conn := dial(t, proxy)
		_, _ = io.WriteString(conn, "HEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\n"+octets)
		_ = conn.(*net.TCPConn).CloseWrite()
		got, _ := listen(t, conn)
		_, refusal, _ := strings.Cut(got, "\r\n\r\n")
		head, body, _ := strings.Cut(refusal, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 "+status+" ") || !strings.Contains(body, `"code":"`+code+`"`) {
			t.Errorf("%.60q: got %q", octets, refusal)
		}
	}
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nA: "+strings.Repeat("x", 20<<10), "431", "header_too_large")
	f("GET /kv/a HTT", "400", "bad_request")
	f("GET /kv/a HTTP/1.1\nHost: h\r\n\r\n", "400", "bad_request")
}

// TestTruncatedUpload: an upload that was cut short never looks whole to a node.
func TestTruncatedUpload(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	long := strings.Repeat("x", 200<<10)
	f := func(name, octets string, reaches bool) {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, proxy)
			if _, err := io.WriteString(conn, octets); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, _ := listen(t, conn); strings.Contains(got, "200 OK") {
				t.Errorf("the client got %q", got)
			}
			if !reaches {
				node.none(t)
				return
			}
			if request := node.next(t); request.err == nil {
				t.Errorf("the node took %d octets for the whole body", len(request.body))
			}
		})
	}
	f("within the head", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Le", false)
	f("short body", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello", false)
	f("no body", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", false)
	f("long body", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n"+long, true)
	f("within a chunk", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhello", true)
	f("between chunks", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true)
	f("within a size", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0", true)
	f("before the trailers end", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", true)
	f("long chunks", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n32000\r\n"+long+"\r\n", true)
}

// TestLimits: bodies and heads beyond their limits.
func TestLimits(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) {
		c.BodyMax, c.HeadMax = 100<<10, 4<<10
	})
	f := func(name, octets, status, code string) {
		t.Run(name, func(t *testing.T) {
			if got, _ := talk(t, proxy, octets); !strings.HasPrefix(got, "HTTP/1.1 "+status) || !strings.Contains(got, `"code":"`+code+`"`) {
				t.Errorf("got %q", got)
			}
		})
	}
	f("announced body", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 102401\r\n\r\n"+strings.Repeat("x", 102401), "413", "too_large")
	node.none(t)
	f("body announced and not sent", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 102401\r\n\r\n", "413", "too_large")
	f("expected body", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 102401\r\nExpect: 100-continue\r\n\r\n", "413", "too_large")
	node.none(t)
	f("counted body", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n19001\r\n"+strings.Repeat("x", 0x19001)+"\r\n0\r\n\r\n", "413", "too_large")
	if request := node.next(t); request.err == nil {
		t.Errorf("the node took %d octets for the whole body", len(request.body))
	}
	f("long head", "GET /kv/a HTTP/1.1\r\nHost: h\r\nA: "+strings.Repeat("x", 4<<10)+"\r\n\r\n", "431", "header_too_large")
	f("endless head", "GET /kv/a HTTP/1.1\r\nHost: h\r\nA: "+strings.Repeat("x", 64<<10), "431", "header_too_large")
	f("long target", "GET /kv/"+strings.Repeat("x", 8<<10)+" HTTP/1.1\r\nHost: h\r\n\r\n", "431", "header_too_large")
	node.none(t)

	got, _ := talk(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 102400\r\n\r\n"+strings.Repeat("x", 102400))
	if !strings.HasPrefix(got, "HTTP/1.1 200") || len(node.next(t).body) != 102400 {
		t.Errorf("a body of just the limit got %q", got)
	}
}

// TestSlowClients: a head has a fixed time, a body may go on while it moves.
func TestSlowClients(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) {
		c.HeadTimeout, c.StreamTimeout, c.IdleTimeout = 400*time.Millisecond, 400*time.Millisecond, 400*time.Millisecond
	})
	// drip sends pieces with pauses, until the proxy has enough of it.
	drip := func(pieces ...string) string {
		conn := dial(t, proxy)
		for _, piece := range pieces {
			if _, err := io.WriteString(conn, piece); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		got, _ := listen(t, conn)
		return got
	}
	if got := drip("GET /kv/a", " HTTP/1.1", "\r\nHost:", " h", "\r\nA: ", "b", "\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 408") {
		t.Errorf("a slow head got %q", got)
	}
	node.none(t)
	if got := drip("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n", "0", "1", "2", "3", "4", "5"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("a slow body that moves got %q", got)
	}
	node.next(t)
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
	if got, closed := listen(t, conn); !strings.HasPrefix(got, "HTTP/1.1 408") || !closed {
		t.Errorf("a body that stands still got %q", got)
	}
	if got, closed := listen(t, dial(t, proxy)); got != "" || !closed {
		t.Errorf("an idle connection got %q, closed %v", got, closed)
	}
	node.none(t)
}
