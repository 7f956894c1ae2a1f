package dataplane

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestAnswers: a node's octets and what the client gets for them.
func TestAnswers(t *testing.T) {
	get := "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n"
	// f lets a node answer a request and close, or not, and compares what the client gets. again tells
	// whether the proxy may use its connection to the node for the next request.
	f := func(name, request, octets string, nodeCloses bool, want string, wantClosed, again bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
				_, _ = io.WriteString(conn, octets)
				return !nodeCloses
			})
			proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
			got, closed := talk(t, proxy, request)
			if got != want || closed != wantClosed {
				t.Errorf("the client got\n%q and closed %v, want\n%q and %v", got, closed, want, wantClosed)
			}
			if again {
				if talk(t, proxy, request); proxy.nodes.Stats.Connects.Load() != 1 {
					t.Error("the connection was not used again")
				}
				return
			}
			until(t, "the end of the connection", func() bool { return node.connections() == 0 })
		})
	}
	f("length", get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, true)
	f("no reason", get, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false,
		"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, true)
	f("chunks", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", false, true)
	f("until close", get, "HTTP/1.0 200 OK\r\nServer: python\r\n\r\nhello", true,
		"HTTP/1.1 200 OK\r\nServer: python\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, false)
	f("HTTP/1.0 with a length", get, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, false)
	f("HTTP/1.0 kept alive", get, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", false,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, true)
	f("closed by the node", get, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, false)
	f("chunks for HTTP/1.0", "GET /kv/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false,
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", true, true)

	f("204", get, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false,
		"HTTP/1.1 204 No Content\r\n\r\n", false, true)
	f("304", get, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n", false,
		"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n", false, true)
	f("HEAD", "HEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, true)
	f("HEAD chunked", "HEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false,
		"HTTP/1.1 200 OK\r\n\r\n", false, true)
	f("interim answers", get, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false,
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, true)

	// What was cut short must not look whole.
	f("truncated length", get, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true,
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true, false)
	f("truncated chunk", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhello", true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, false)
	f("truncated between chunks", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, false)
	f("broken chunk", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, false)
	const chunkedAnswer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, broken := range []string{
		"5\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n",
		"5;a\nb\r\nhello\r\n0\r\n\r\n", "5;a=\"\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "0\n\n", "0\r\nA: b\n\r\n", "0\r\nA: b\r\n c\r\n\r\n", "0\r\nA : b\r\n\r\n",
	} {
		f("broken chunk "+broken, get, chunkedAnswer+broken, false, chunkedAnswer, true, false)
	}
	f("truncated in the trailers", get, chunkedAnswer+"5\r\nhello\r\n0\r\nA: b\r\n", true, chunkedAnswer+"5\r\nhello\r\n", true, false)
	f("truncated in the last chunk", get, chunkedAnswer+"5\r\nhello\r\n0\r\n", true, chunkedAnswer+"5\r\nhello\r\n", true, false)

	// What comes behind an answer is no answer.
	f("leftover", get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, false)
	f("leftover behind chunks", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n", false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, false)
	f("body behind HEAD", "HEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, false)
	f("body behind 204", get, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", false,
		"HTTP/1.1 204 No Content\r\n\r\n", false, false)
	f("chunks behind 204", get, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false,
		"HTTP/1.1 204 No Content\r\n\r\n", false, false)
	f("body behind 304", get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", false,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, false)
	f("interim answer behind the answer", get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 103 Early Hints\r\n\r\n", false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, false)
}

// TestTruncatedForHTTP10: a client that waits for the end of the connection sees a reset.
func TestTruncatedForHTTP10(t *testing.T) {
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		return false
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "GET /kv/a HTTP/1.0\r\n\r\n")
	if got, err := io.ReadAll(conn); err == nil {
		t.Errorf("got %q and a regular end", got)
	}
}

// TestStreaming: octets reach the client when they come, and a long answer outlasts the deadline
// while it moves.
func TestStreaming(t *testing.T) {
	proceed := make(chan struct{})
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := range 3 {
			select {
			case <-proceed:
			case <-t.Context().Done():
				return false
			}
			_, _ = fmt.Fprintf(conn, "2\r\n%02d\r\n", i)
		}
		_, _ = io.WriteString(conn, "0\r\n\r\n")
		return true
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.Deadline = 400 * time.Millisecond })
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	reader := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		time.Sleep(150 * time.Millisecond)
		proceed <- struct{}{}
		piece := make([]byte, len("2\r\n00\r\n"))
		if _, err := io.ReadFull(reader, piece); err != nil || string(piece) != fmt.Sprintf("2\r\n%02d\r\n", i) {
			t.Fatalf("piece %d is %q, %v", i, piece, err)
		}
	}
}

// TestStalledAnswer: a body that stands still is cut off, visibly.
func TestStalledAnswer(t *testing.T) {
	node := startNode(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.StreamTimeout = 100 * time.Millisecond })
	if got, closed := talk(t, proxy, "GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\nhello") || !closed {
		t.Errorf("got %q, closed %v", got, closed)
	}
}

// TestLongBodies: bodies of many buffers pass whole, both ways at once.
func TestLongBodies(t *testing.T) {
	node := startNode(t, func(conn net.Conn, _ int, request received) bool {
		_, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(request.body), request.body)
		return err == nil
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	body := strings.Repeat("0123456789abcde\n", 1<<18) // 4 MiB
	for _, size := range []int{1, 8 << 10, 64 << 10, 64<<10 + 1, 1 << 20, 4 << 20} {
		for _, framed := range []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, body[:size]),
			fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body[:size]),
		} {
			conn := dial(t, proxy)
			go func() { _, _ = io.WriteString(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\n"+framed) }()
			response, got := readAnswer(t, bufio.NewReader(conn))
			if response.StatusCode != 200 || got != body[:size] || node.next(t).body != body[:size] {
				t.Errorf("%d octets: %s with %d octets", size, response.Status, len(got))
			}
			if response.Close {
				t.Errorf("%d octets: the connection was given up", size)
			}
		}
	}
}

// TestEarlyAnswer: an answer that comes before the body has been sent is relayed.
func TestEarlyAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		reader := bufio.NewReader(conn)
		for line := ""; line != "\r\n" && err == nil; {
			line, err = reader.ReadString('\n')
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		_, _ = io.Copy(io.Discard, reader)
	}()
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", listener.Addr().String())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 200000))
	response, body := readAnswer(t, bufio.NewReader(conn))
	if response.StatusCode != 413 || body != "no" || !response.Close {
		t.Errorf("got %s %q, close %v", response.Status, body, response.Close)
	}
	<-done
}

// TestDuplex: a node may answer while the body is still coming.
func TestDuplex(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		reader := bufio.NewReader(conn)
		for line := ""; line != "\r\n" && err == nil; {
			line, err = reader.ReadString('\n')
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err == nil {
			var line string
			if line, err = reader.ReadString('\n'); err == nil {
				_, err = io.WriteString(conn, line)
			}
		}
	}()
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", listener.Addr().String())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "POST /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	reader := bufio.NewReader(conn)
	for line := ""; line != "\r\n" && err == nil; {
		line, err = reader.ReadString('\n')
	}
	for range 3 {
		_, _ = io.WriteString(conn, "5\r\nhello\r\n")
		echo := make([]byte, 10)
		if _, err := io.ReadFull(reader, echo); err != nil || string(echo) != "5\r\nhello\r\n" {
			t.Fatalf("the echo is %q, %v", echo, err)
		}
	}
	_, _ = io.WriteString(conn, "0\r\n\r\n")
	end := make([]byte, 5)
	if _, err := io.ReadFull(reader, end); err != nil || string(end) != "0\r\n\r\n" {
		t.Fatalf("the end is %q, %v", end, err)
	}
}
