package dataplane

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/stead-io/stead/api"
)

// TestH2CSlowClients: answers that nobody takes hold up no other of the same node.
func TestH2CSlowClients(t *testing.T) {
	const slow, length = 60, 2 << 20
	address := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "long") {
			_, _ = w.Write(make([]byte, length))
		}
		_, _ = io.WriteString(w, "ok")
	})
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), shown.security(t))
	c := newFramed(t, shown, proxy)
	for id := uint32(1); id < 2*slow; id += 2 {
		c.ask(id, head("/kv/long")...)
	}
	until(t, "the answers that nobody takes", func() bool { return proxy.metrics.inFlight.Load() == slow })
	client := shown.client(t)
	for range 20 { // until as much of them has come as may
		if answer, _ := do(t, client, request(t, proxy, "GET", "/kv/a", nil)); answer.StatusCode != 200 {
			t.Fatalf("got %v", answer.Status)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestH2CSwitches: a node that changes protocols unasked is refused, as in HTTP/1.1.
func TestH2CSwitches(t *testing.T) {
	address, requests := scripted(t, func(_ int, f *http2.Framer, id uint32) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: append([]byte{0x08, 3}, "101"...), EndHeaders: true})
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: statusOK, EndStream: true, EndHeaders: true})
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
	if answer, body := ask(t, proxy, getA); answer.StatusCode != 502 || !strings.Contains(body, "owner_failed") || requests.Load() != 1 {
		t.Errorf("got %v %q after %d requests", answer.Status, body, requests.Load())
	}
}

// TestH2CGoesAwayAgainAndAgain: connections that a node takes no more requests on, and long ones go on over, do not keep
// others from being made.
func TestH2CGoesAwayAgainAndAgain(t *testing.T) {
	address, _ := scripted(t, func(_ int, f *http2.Framer, id uint32) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: statusOK, EndHeaders: true})
		_ = f.WriteGoAway(id, http2.ErrCodeNo, nil)
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
	for i := range 40 {
		conn, asked := dial(t, proxy), getA
		if i >= 16 {
			asked = "POST /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" // and then waits for the node to speak
		}
		_, _ = io.WriteString(conn, asked)
		status := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 200" {
			t.Fatalf("request %d got %q, %v", i, status, err)
		}
		time.Sleep(5 * time.Millisecond) // for what comes behind the answer
	}
}

// stuffed is a node that takes a connection's first octets and no more, answers all the same what was asked when it is told that
// this is so many requests, and reads on a moment later.
func stuffed(t *testing.T, requests uint32, asked <-chan struct{}) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		socket := conn.(*net.TCPConn)
		_ = socket.SetReadBuffer(4 << 10)
		f := http2.NewFramer(conn, conn)
		_ = f.WriteSettings()
		_ = f.WriteWindowUpdate(0, 1<<30)
		<-asked
		for id := uint32(1); id < 2*requests; id += 2 {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: statusOK, EndStream: true, EndHeaders: true})
		}
		time.Sleep(quiet) // for the proxy to answer
		_ = socket.SetReadBuffer(4 << 20)
		_ = socket.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, conn)
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	return api.SchemeH2C + listener.Addr().String()
}

// TestH2CAnsweredEarly: the body of a request that is over is read by nobody: its octets are another's.
func TestH2CAnsweredEarly(t *testing.T) {
	const requests = 90
	asked := make(chan struct{})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", stuffed(t, requests, asked))), func(c *Config) { c.Deadline = 2 * time.Second })
	put := "PUT /kv/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 60_000)
	var answered atomic.Int64
	var asking sync.WaitGroup
	for range requests {
		conn := dial(t, proxy)
		asking.Go(func() {
			_, _ = io.WriteString(conn, put)
			if got, _ := io.ReadAll(conn); strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
				answered.Add(1)
			}
		})
	}
	until(t, "the requests", func() bool { return proxy.metrics.inFlight.Load() == requests })
	time.Sleep(quiet) // for the connection to be full
	close(asked)
	asking.Wait()
	if answered.Load() == 0 {
		t.Error("nothing was answered early")
	}
}

// TestH2CTrailersOfNoBody: trailers that come at once, behind an empty body, are not written down while the head is read.
func TestH2CTrailersOfNoBody(t *testing.T) {
	address := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Trailer.Get("X-Late"))
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
	for range 50 {
		answer, body := ask(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Late: 3\r\n\r\n")
		if answer.StatusCode != 200 || body != "3" {
			t.Fatalf("got %v %q", answer.Status, body)
		}
	}
}

// TestH2CBrokenCall: a call that its node ends is over for a client, too, that waits for the node to speak.
func TestH2CBrokenCall(t *testing.T) {
	address, _ := scripted(t, func(_ int, f *http2.Framer, id uint32) { _ = f.WriteRSTStream(id, http2.ErrCodeInternal) })
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), shown.security(t))
	c := newFramed(t, shown, proxy)
	c.begin(1, false, ":method", "POST", ":scheme", "https", ":authority", "h", ":path", "/kv/a")
	if got := c.answer(1); got != "502" {
		t.Errorf("got %s", got)
	}
}

// TestNodeEndsUpload: a node that breaks off while a long body is on its way is to blame, and not the client, which may pause just then.
func TestNodeEndsUpload(t *testing.T) {
	f := func(address string, edit ...func(*Config)) {
		t.Helper()
		proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), edit...)
		conn := dial(t, proxy)
		_, _ = io.WriteString(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n"+strings.Repeat("x", 2_000_000))
		if answer, body := readAnswer(t, bufio.NewReader(conn)); answer.StatusCode != 502 || !strings.Contains(body, "owner_failed") {
			t.Errorf("got %v %q", answer.Status, body)
		}
	}
	breaks := make(chan net.Conn, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = io.CopyN(io.Discard, conn, 1_900_000)
			_ = conn.Close()
			breaks <- conn
		}
	}()
	f(listener.Addr().String())
	<-breaks
	f(startH2C(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1_900_000)
		panic(http.ErrAbortHandler)
	}))
}
