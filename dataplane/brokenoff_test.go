package dataplane

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/stead-io/stead/dataplane/accesslog"
)

const (
	putLength = "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: "
	putChunks = "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
)

var aProblem = regexp.MustCompile(`"problem":"([a-z_]*)"`)

// problemLogged waits for so many lines of an access log, and returns what the last one calls its problem.
func problemLogged(t *testing.T, path string, count int) string {
	t.Helper()
	found := aProblem.FindStringSubmatch(lines(t, path, count)[count-1])
	if found == nil {
		return ""
	}
	return found[1]
}

// TestUploadBrokenOff: a client that leaves in the middle of its body has gone; one whose body is malformed made a bad
// request. Log, metrics and spans say so alike.
func TestUploadBrokenOff(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	path, edit := logged(t, accesslog.JSON)
	collector := startCollector(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), edit, collector.traced(1))
	closed := func(conn net.Conn) { _ = conn.Close() }
	half := func(conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite() }
	reset := func(conn net.Conn) {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	stays := func(net.Conn) {}
	count, gone, malformed := 0, 0, 0
	f := func(name, octets string, leave func(net.Conn), want string) {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, proxy)
			_, _ = io.WriteString(conn, octets)
			if want == "client_gone" {
				until(t, "the request", func() bool { return proxy.metrics.inFlight.Load() == 1 })
				gone++
			} else {
				malformed++
			}
			leave(conn)
			if count++; problemLogged(t, path, count) != want {
				t.Errorf("logged is %s, want %s", lines(t, path, count)[count-1], want)
			}
			until(t, "the end of the request", func() bool { return proxy.metrics.inFlight.Load() == 0 })
		})
	}
	long := strings.Repeat("x", 200<<10)
	for name, leave := range map[string]func(net.Conn){"closed": closed, "its side closed": half, "reset": reset} {
		f(name+" within a short body", putLength+"10\r\n\r\nhello", leave, "client_gone")
		f(name+" before a body", putLength+"10\r\n\r\n", leave, "client_gone")
		f(name+" within a long body", putLength+"300000\r\n\r\n"+long, leave, "client_gone")
		f(name+" before a long body that was asked for", putLength+"3000000\r\nExpect: 100-continue\r\n\r\n", leave, "client_gone")
		f(name+" within a chunk", putChunks+"A\r\nhello", leave, "client_gone")
		f(name+" between chunks", putChunks+"5\r\nhello\r\n", leave, "client_gone")
		f(name+" within trailers", putChunks+"5\r\nhello\r\n0\r\nA: b", leave, "client_gone")
	}
	f("a chunk without size", putChunks+"5\r\nhello\r\nno size\r\n", stays, "bad_request")
	f("a chunk without end", putChunks+"5\r\nhello, world\r\n", stays, "bad_request")
	f("a trailer that may not be one", putChunks+"0\r\nContent-Length: 5\r\n\r\n", stays, "bad_request")
	metric(t, proxy, fmt.Sprintf(`stead_proxy_requests_total{code="4xx",problem="client_gone"} %d`, gone))
	metric(t, proxy, fmt.Sprintf(`stead_proxy_requests_total{code="4xx",problem="bad_request"} %d`, malformed))
	faults := make(map[string]int)
	for _, span := range collector.all(t, proxy) {
		for _, fault := range []string{"client_gone", "client_failed"} {
			if strings.Contains(telling(span), "error.type="+fault) {
				faults[fault]++
			}
		}
	}
	if sent := 3 * 5; faults["client_gone"] != sent || faults["client_failed"] != malformed {
		t.Errorf("tries failed by %v, want %d and %d", faults, sent, malformed)
	}
}

// TestHTTP2UploadBrokenOff is the same of a stream, which ends by a reset or with its connection.
func TestHTTP2UploadBrokenOff(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	path, edit := logged(t, accesslog.JSON)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t), edit)
	count := 0
	f := func(name, said, data string, leave func(*framed), want string) {
		t.Run(name, func(t *testing.T) {
			c := newFramed(t, shown, proxy)
			fields := []string{":method", "PUT", ":scheme", "https", ":authority", "h", ":path", "/kv/a"}
			if said != "" {
				fields = append(fields, "content-length", said)
			}
			c.begin(1, false, fields...)
			_ = c.WriteData(1, false, []byte(data))
			until(t, "the request", func() bool { return proxy.metrics.inFlight.Load() == 1 })
			leave(c)
			if count++; problemLogged(t, path, count) != want {
				t.Errorf("logged is %s, want %s", lines(t, path, count)[count-1], want)
			}
			until(t, "the end of the request", func() bool { return proxy.metrics.inFlight.Load() == 0 })
		})
	}
	resets := func(c *framed) { _ = c.WriteRSTStream(1, http2.ErrCodeCancel) }
	closes := func(c *framed) { _ = c.conn.Close() }
	for name, leave := range map[string]func(*framed){"reset": resets, "closed": closes} {
		f(name+" within a short body", "10", "hello", leave, "client_gone")
		f(name+" within a long body", "100000", "hello", leave, "client_gone")
		f(name+" within a body of no length", "", "hello", leave, "client_gone")
	}
	f("shorter than said", "10", "hello", func(c *framed) { _ = c.WriteData(1, true, nil) }, "bad_request")
	f("longer than said", "10", "hello", func(c *framed) { _ = c.WriteData(1, true, []byte("hello, world")) }, "bad_request")
}
