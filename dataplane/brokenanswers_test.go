package dataplane

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestBrokenAnswers: answers that cannot be passed on.
func TestBrokenAnswers(t *testing.T) {
	f := func(name, octets string, wantStatus int, wantCode string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
				_, _ = io.WriteString(conn, octets)
				return wantCode == "owner_timeout"
			})
			proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) {
				if wantCode == "owner_timeout" {
					c.Deadline = 200 * time.Millisecond
				}
			})
			response, body := ask(t, proxy, "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
			if response.StatusCode != wantStatus || !strings.Contains(body, `"code":"`+wantCode+`"`) ||
				response.Header.Get("Retry-After") == "" || response.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %s %v %s", response.Status, response.Header, body)
			}
			until(t, "the end of the connection", func() bool { return node.connections() == 0 })
			if n := len(node.requests); n != 1 {
				t.Errorf("the node got %d requests", n)
			}
		})
	}
	brokenAnswers(func(name, octets string) { f(name, octets, 502, "owner_failed") })
	f("silence", "", 504, "owner_timeout")
	f("silence within the head", "HTTP/1.1 200 OK\r\n", 504, "owner_timeout")
	f("only interim answers", "HTTP/1.1 100 Continue\r\n\r\n", 504, "owner_timeout")
}

// brokenAnswers lists answers that have two readings, or none, by what is wrong with them.
func brokenAnswers(f func(name, octets string)) {
	f("nothing", "")
	f("half a head", "HTTP/1.1 200 OK\r\nContent-")
	f("no HTTP", "SSH-2.0-OpenSSH\r\n\r\n")
	f("CL and TE", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello")
	f("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
	fields := func(name, lines string) { f(name, "HTTP/1.1 200 OK\r\n"+lines+"\r\n\r\nok") }
	fields("two equal lengths", "Content-Length: 2\r\nContent-Length: 2")
	fields("list of lengths", "Content-Length: 2, 2")
	fields("length below 0", "Content-Length: -2")
	fields("signed length", "Content-Length: +2")
	fields("hexadecimal length", "Content-Length: 0x2")
	fields("no length", "Content-Length:")
	fields("length alias", "Content_Length: 2")
	fields("TE identity", "Transfer-Encoding: identity")
	fields("TE gzip", "Transfer-Encoding: gzip, chunked")
	fields("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")
	fields("xchunked", "Transfer-Encoding: xchunked")
	fields("TE folded", "Transfer-Encoding:\r\n chunked")
	fields("TE with a vertical tab", "Transfer-Encoding: \x0bchunked")
	fields("bare LF", "A: b\nContent-Length: 2")
	fields("CR in a value", "A: b\rSet-Cookie: c=d\r\nContent-Length: 2")
	fields("NUL", "A: \x00\r\nContent-Length: 2")
	fields("space in a name", "A b: c\r\nContent-Length: 2")
	fields("space behind a name", "Content-Length : 2")
	fields("no colon", "A\r\nContent-Length: 2")
	fields("name past ASCII", "\xc3\xa9: b\r\nContent-Length: 2")
	fields("space before a name", " A: b\r\nContent-Length: 2")
	fields("empty name", ": b\r\nContent-Length: 2")
	line := func(text string) { f("status line "+text, text+"\r\nContent-Length: 2\r\n\r\nok") }
	line("HTTP/1.1 20 OK")
	line("HTTP/1.1 2000 OK")
	line("HTTP/1.1 600 OK")
	line("HTTP/1.1 000 OK")
	line("HTTP/1.1 2OO OK")
	line("HTTP/1.1  200 OK")
	line("HTTP/1.1 200\tOK")
	line("HTTP/1.1 200 O\rK")
	line("HTTP/1.1 200 O\x00K")
	line("HTTP/1.2 200 OK")
	line("HTTP/2 200 OK")
	line("http/1.1 200 OK")
	line("HTTP/1.1")
	line("ICY 200 OK")
	line(" HTTP/1.1 200 OK")
	line("\r\nHTTP/1.1 200 OK")
	line("")
	f("TE in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	f("all bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
	f("interim answer with a body", "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f("interim answer in chunks", "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f("101 to what was offered to nobody", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello")
	f("endless", "HTTP/1.1 200 OK\r\n"+strings.Repeat("A: b\r\n", 1<<18))
	f("folded", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n")
	f("too long", "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", 40<<10)+"\r\n\r\n")
	f("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
}
