//go:build unix

package dataplane

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// slowEach is how many clients of each slow kind there are at once.
const slowEach = 300

// TestManySlowClients: hundreds of clients that send heads slowly, bodies slowly, or do not read their answers
// keep nobody else from being served, and are shed.
func TestManySlowClients(t *testing.T) {
	large := strings.Repeat("y", 512<<10)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/kv/large" {
			_, _ = io.WriteString(w, large)
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	defer node.Close()
	const held = 600 * time.Millisecond
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.Listener.Addr().String())), func(c *Config) {
		c.HeadTimeout, c.StreamTimeout = held, held/4
		c.RateMin = 1 << 20 // a drip is too slow once twice the stream timeout was waited for it
	})
	var slow sync.WaitGroup
	var statuses [2]sync.Map
	var readers []net.Conn
	begun := time.Now()
	for i := range 3 * slowEach {
		conn := dialNarrow(t, proxy)
		switch i % 3 {
		case 0:
			slow.Go(func() { statuses[0].Store(i, drip(conn, "GET /kv/a HTTP/1.1\r\nHost: h\r\nA: ")) })
		case 1:
			slow.Go(func() {
				statuses[1].Store(i, drip(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"))
			})
		default:
			_, _ = io.WriteString(conn, "GET /kv/large HTTP/1.1\r\nHost: h\r\n\r\n")
			readers = append(readers, conn)
		}
	}
	for range 20 {
		asked := time.Now()
		served(t, proxy, getA, "ok")
		if took := time.Since(asked); took > time.Second {
			t.Errorf("another client waited %v", took)
		}
	}
	slow.Wait()
	until(t, "the end of the slow", func() bool { return proxy.metrics.inFlight.Load() == 0 })
	t.Logf("%d slow clients of each kind: all gone after %v", slowEach, time.Since(begun))
	for kind := range statuses {
		statuses[kind].Range(func(_, status any) bool {
			if status != "HTTP/1.1 408 Request Timeout\r\n" {
				t.Errorf("kind %d: got %q", kind, status)
			}
			return status == "HTTP/1.1 408 Request Timeout\r\n"
		})
	}
	for _, conn := range readers {
		if n, _ := io.Copy(io.Discard, conn); n >= int64(len(large)) {
			t.Fatalf("one that did not read got all %d octets", n)
		}
	}
}

// dialNarrow connects a client that takes small segments and has little room: what is sent to it soon stands
// still, and not in the kernel's buffers.
func dialNarrow(t *testing.T, proxy *Proxy) net.Conn {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
	}}
	conn, err := dialer.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// drip sends octets, and then one at a time until it is answered; it returns the first line of that.
func drip(conn net.Conn, octets string) string {
	stop := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		_, err := io.WriteString(conn, octets)
		for err == nil {
			select {
			case <-ticker.C:
				_, err = io.WriteString(conn, "x")
			case <-stop:
				return
			}
		}
	})
	line, _ := bufio.NewReader(conn).ReadString('\n')
	close(stop)
	sending.Wait()
	_ = conn.Close()
	return line
}

// TestConnectionsPerAddress: one address has so many connections and no more; one that ends makes room.
func TestConnectionsPerAddress(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.ConnectionsPerAddress = 2 })
	first, second := dial(t, proxy), dial(t, proxy)
	for _, conn := range []net.Conn{first, second} {
		_, _ = io.WriteString(conn, getA)
		readAnswer(t, bufio.NewReader(conn))
	}
	got, closed := talk(t, proxy, getA)
	if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, `"code":"too_many_connections"`) ||
		!strings.Contains(got, "Retry-After: 1\r\n") || !strings.Contains(got, "Connection: close\r\n") || !closed {
		t.Errorf("the third got %q, closed %v", got, closed)
	}
	if _, metrics := get(t, proxy, "/metrics"); !strings.Contains(metrics, `problem="too_many_connections"} 1`) {
		t.Error("nobody counts it")
	}
	_ = first.Close()
	until(t, "room", func() bool {
		got, _ := talk(t, proxy, strings.Replace(getA, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
		return strings.HasPrefix(got, "HTTP/1.1 200 ")
	})
}
