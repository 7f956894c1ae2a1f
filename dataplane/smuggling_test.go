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
	const hidden = "GET /kv/hidden HTTP/1.1\r\nHost: h\r\n\r\n"
	// f sends a request whose header lines are given, with what may hide behind it.
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
			if !strings.HasPrefix(name, "chunk") {
				node.none(t)
			} else if request := node.next(t); request.err == nil {
				t.Errorf("the node took %q for a whole request", request.raw)
			}
		})
	}
	post := "POST /kv/a HTTP/1.1\r\nHost: h\r\n"
	f("CL and TE", post+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("TE and CL", post+"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n")
	f("TE identity", post+"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n")
	f("TE gzip, chunked", post+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
	f("TE twice", post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n")
	f("TE with a space before the colon", post+"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")
	f("TE with a vertical tab", post+"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")
	f("TE folded", post+"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")
	f("TE with an underscore", post+"Transfer_Encoding: chunked\r\n\r\n")
	f("TE in HTTP/1.0", "POST /kv/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("CL twice", post+"Content-Length: 0\r\nContent-Length: 0\r\n\r\n")
	f("CL list", post+"Content-Length: 0, 0\r\n\r\n")
	f("CL signed", post+"Content-Length: +0\r\n\r\n")
	f("CL hexadecimal", post+"Content-Length: 0x0\r\n\r\n")
	f("CL past int64", post+"Content-Length: 99999999999999999999\r\n\r\n")
	f("obs-fold", post+"A: b\r\n c\r\n\r\n")
	f("bare LF behind a header", post+"A: b\nC: d\r\n\r\n")
	f("bare LF behind the request line", "GET /kv/a HTTP/1.1\nHost: h\r\n\r\n")
	f("bare LF at the end", "GET /kv/a HTTP/1.1\r\nHost: h\r\n\n")
	f("bare LF before the request", "\nGET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("all bare LF", "GET /kv/a HTTP/1.1\nHost: h\n\n")
	f("CR within a value", post+"A: b\rContent-Length: 5\r\n\r\n")
	f("NUL in a value", post+"A: \x00\r\n\r\n")
	f("space in a name", post+"A b: c\r\n\r\n")
	f("space before the first name", "GET /kv/a HTTP/1.1\r\n Host: h\r\n\r\n")
	f("octet past ASCII in a name", post+"Caf\xc3\xa9: c\r\n\r\n")
	f("no colon", post+"A\r\n\r\n")
	f("empty name", post+": a\r\n\r\n")
	f("two spaces in the request line", "GET  /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("HTTP/0.9", "GET /kv/a\r\n\r\n")
	f("HTTP/1.2", "GET /kv/a HTTP/1.2\r\nHost: h\r\n\r\n")
	f("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	f("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n")
	f("no Host", "GET /kv/a HTTP/1.1\r\n\r\n")
	f("two Hosts", "GET /kv/a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n")
	f("absolute target against Host", "GET http://internal/kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("user in the target", "GET http://h@internal/kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("fragment in the target", "GET /kv/a#b HTTP/1.1\r\nHost: h\r\n\r\n")
	f("unknown expectation", post+"Expect: magic\r\nContent-Length: 0\r\n\r\n")

	chunked := post + "Transfer-Encoding: chunked\r\n\r\n"
	f("chunk size with LF", chunked+"3\nabc\r\n0\r\n\r\n")
	f("chunk size with 0x", chunked+"0x3\r\nabc\r\n0\r\n\r\n")
	f("chunk size with a space", chunked+"3 \r\nabc\r\n0\r\n\r\n")
	f("chunk size that wraps", chunked+"10000000000000003\r\nabc\r\n0\r\n\r\n")
	f("chunk extension with LF", chunked+"3;a\nb\r\nabc\r\n0\r\n\r\n")
	f("chunk longer than its size", chunked+"3\r\nabcd\r\n0\r\n\r\n")
	f("chunk of size 0 with LF", chunked+"0\n\n")
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
	if got := drip("GET /kv/a", " HTTP/1.1", "\r\nHost:", " h", "\r\nA: ", "b", "\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("a slow head got %q", got)
	}
	node.none(t)
	if got := drip("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n", "0", "1", "2", "3", "4", "5"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("a slow body that moves got %q", got)
	}
	node.next(t)
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
	if got, closed := listen(t, conn); !strings.HasPrefix(got, "HTTP/1.1 400") || !closed {
		t.Errorf("a body that stands still got %q", got)
	}
	if got, closed := listen(t, dial(t, proxy)); got != "" || !closed {
		t.Errorf("an idle connection got %q, closed %v", got, closed)
	}
	node.none(t)
}
