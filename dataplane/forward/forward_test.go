package forward

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/wire"
)

const (
	patience = 10 * time.Second
	okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// node answers each request by a script; it counts connections and requests.
type node struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex
	conns    []net.Conn
	requests []string // their bodies
}

// startNode runs a script for the nth request of a connection, on the mth connection; false closes it.
func startNode(t *testing.T, script func(conn net.Conn, m, n int) bool) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{listener: listener}
	n.serving.Go(func() {
		for m := 0; ; m++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			n.conns = append(n.conns, conn)
			n.mu.Unlock()
			n.serving.Go(func() { n.serve(conn, m, script) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		n.mu.Lock()
		for _, conn := range n.conns {
			_ = conn.Close()
		}
		n.mu.Unlock()
		n.serving.Wait()
	})
	return n
}

func (n *node) serve(conn net.Conn, m int, script func(net.Conn, int, int) bool) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for i := 0; ; i++ {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.requests = append(n.requests, string(body))
		n.mu.Unlock()
		if !script(conn, m, i) {
			return
		}
	}
}

func (n *node) counts() (conns, requests int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns), len(n.requests)
}

func newTransport(t *testing.T, edit ...func(*Config)) *Transport {
	t.Helper()
	config := Config{IdleMax: 8, IdleTimeout: time.Minute, Dial: func(ctx context.Context, to Target) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", to.Address)
	}}
	for _, change := range edit {
		change(&config)
	}
	transport := New(config)
	t.Cleanup(transport.Close)
	return transport
}

func get() *Request {
	return &Request{Head: []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Safe: true, Deadline: time.Now().Add(patience), Wait: patience, Patience: patience}
}

func post(source io.Reader, length int64) *Request {
	request := get()
	request.Head, request.Safe = []byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), false
	request.Body = &Body{}
	request.Body.Reset(source, wire.Chunked, 1<<30)
	if length >= 0 {
		request.Head = []byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
		request.Body.Reset(source, length, 1<<30)
		if err := request.Body.Load(); err != nil {
			panic(err)
		}
	}
	return request
}

// fetch sends a request and reads its answer to the end.
func fetch(transport *Transport, node *node, request *Request) (string, error) {
	answer, err := transport.Send(Target{Address: node.listener.Addr().String()}, request)
	if err != nil {
		return "", err
	}
	defer answer.Close()
	var body strings.Builder
	for {
		piece, err := answer.Next()
		if err == io.EOF {
			return body.String(), nil
		}
		if err != nil {
			return body.String(), err
		}
		body.Write(piece)
	}
}

func stageOf(err error) Stage {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure.Stage
	}
	return 0
}

// TestRepeats: what happens to the second request on a connection that the node closes instead of
// answering it.
func TestRepeats(t *testing.T) {
	f := func(name string, request *Request, partial string, wantBody string, wantStage Stage, wantRequests int) {
		t.Run(name, func(t *testing.T) {
			node := startNode(t, func(conn net.Conn, m, n int) bool {
				if m == 0 && n == 1 {
					_, _ = io.WriteString(conn, partial)
					return false
				}
				_, _ = io.WriteString(conn, okAnswer)
				return true
			})
			transport := newTransport(t)
			if body, err := fetch(transport, node, get()); body != "ok" || err != nil {
				t.Fatalf("the first request got %q, %v", body, err)
			}
			body, err := fetch(transport, node, request)
			if body != wantBody || stageOf(err) != wantStage {
				t.Errorf("got %q, %v", body, err)
			}
			if _, requests := node.counts(); requests != wantRequests {
				t.Errorf("the node got %d requests, want %d", requests, wantRequests)
			}
		})
	}
	f("GET", get(), "", "ok", 0, 3)
	f("GET with an octet of an answer", get(), "H", "", Broken, 2)
	f("PUT", post(strings.NewReader("hello"), 5), "", "", NotAnswered, 2)
	body := post(strings.NewReader("hello"), 5)
	body.Safe = true
	f("GET with a body", body, "", "ok", 0, 3)
	stream := post(strings.NewReader("hello"), -1)
	stream.Safe = true
	f("GET with a body in chunks", stream, "", "ok", 0, 3)
	spilled := post(strings.NewReader(strings.Repeat("x", ReplayMax+1)), -1)
	spilled.Safe = true
	f("GET with more than is kept", spilled, "", "", NotAnswered, 2)
}

// TestNeverTwiceOnFresh: a fresh connection that breaks is no stale one; nothing is repeated.
func TestNeverTwiceOnFresh(t *testing.T) {
	node := startNode(t, func(net.Conn, int, int) bool { return false })
	_, err := fetch(newTransport(t), node, get())
	if _, requests := node.counts(); stageOf(err) != NotAnswered || requests != 1 {
		t.Errorf("%d requests, %v", requests, err)
	}
}

// TestNoRepeatAfterTimeout: silence is no proof that nothing ran.
func TestNoRepeatAfterTimeout(t *testing.T) {
	node := startNode(t, func(conn net.Conn, _, n int) bool {
		if n == 0 {
			_, _ = io.WriteString(conn, okAnswer)
		}
		return true
	})
	transport := newTransport(t)
	if _, err := fetch(transport, node, get()); err != nil {
		t.Fatal(err)
	}
	request := get()
	request.Deadline = time.Now().Add(50 * time.Millisecond)
	_, err := fetch(transport, node, request)
	if _, requests := node.counts(); stageOf(err) != TimedOut || requests != 2 {
		t.Errorf("%d requests, %v", requests, err)
	}
}

// TestMayRepeat is the rule itself.
func TestMayRepeat(t *testing.T) {
	f := func(stage Stage, written int64, safe, replayable, want bool) {
		t.Helper()
		if got := mayRepeat(&Failure{Stage: stage, written: written}, safe, replayable); got != want {
			t.Errorf("stage %d, %d octets written, safe %v, replayable %v: %v", stage, written, safe, replayable, got)
		}
	}
	f(NotAnswered, 0, false, true, true)
	f(NotAnswered, 0, true, true, true)
	f(NotAnswered, 9, true, true, true)
	f(NotAnswered, 9, false, true, false)
	f(NotAnswered, 9, true, false, false)
	f(NotAnswered, 0, false, false, false)
	for _, stage := range []Stage{Broken, TimedOut, ClientFailed} {
		f(stage, 0, true, true, false)
	}
}

// TestIdleWithSomethingToRead: a connection on which something came while it was idle is not used.
func TestIdleWithSomethingToRead(t *testing.T) {
	f := func(name string, unasked func(net.Conn)) {
		t.Run(name, func(t *testing.T) {
			node := startNode(t, func(conn net.Conn, _, _ int) bool {
				_, _ = io.WriteString(conn, okAnswer)
				return true
			})
			transport := newTransport(t)
			if _, err := fetch(transport, node, get()); err != nil {
				t.Fatal(err)
			}
			node.mu.Lock()
			conn := node.conns[0]
			node.mu.Unlock()
			unasked(conn)
			time.Sleep(20 * time.Millisecond) // for the kernel to deliver it
			if body, err := fetch(transport, node, post(strings.NewReader("hello"), 5)); body != "ok" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
			if conns, _ := node.counts(); conns != 2 || transport.Stats.Discards.Load() != 1 {
				t.Errorf("%d connections, %d discards", conns, transport.Stats.Discards.Load())
			}
		})
	}
	f("an answer", func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") })
	f("an octet", func(conn net.Conn) { _, _ = io.WriteString(conn, "\n") })
	f("the end", func(conn net.Conn) { _ = conn.Close() })
}

// TestPool: the last connection used is the next; no more are kept than allowed, none for too long.
func TestPool(t *testing.T) {
	node := startNode(t, func(conn net.Conn, _, _ int) bool {
		_, _ = io.WriteString(conn, okAnswer)
		return true
	})
	transport := newTransport(t, func(c *Config) { c.IdleMax, c.IdleTimeout = 2, time.Second })
	address := node.listener.Addr().String()
	var answers []Answer
	for range 3 {
		answer, err := transport.Send(Target{Address: address}, get())
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	for _, answer := range answers {
		answer.Close()
	}
	p := transport.pool(Target{Address: address})
	idle := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.idle)
	}
	if idle() != 2 || len(p.open) != 2 {
		t.Errorf("%d idle, %d open", idle(), len(p.open))
	}
	if c := p.take(); c != answers[1] {
		t.Error("not the connection used last")
	} else if !p.put(c) {
		t.Error("it is not taken back")
	}
	for deadline := time.Now().Add(patience); idle() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("idle connections stay")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestClosed: what is under way ends with the transport, and nothing starts.
func TestClosed(t *testing.T) {
	arrived := make(chan struct{})
	node := startNode(t, func(net.Conn, int, int) bool {
		close(arrived)
		return true
	})
	transport := newTransport(t)
	failed := make(chan error, 1)
	go func() {
		_, err := fetch(transport, node, get())
		failed <- err
	}()
	<-arrived
	transport.Close()
	if err := <-failed; stageOf(err) != NotAnswered {
		t.Errorf("the request under way: %v", err)
	}
	if _, err := fetch(transport, node, get()); stageOf(err) != NotConnected {
		t.Errorf("the next request: %v", err)
	}
}

// TestBodySource: a source that ends early or runs over is an error, and never a whole body.
func TestBodySource(t *testing.T) {
	f := func(text string, length, limit int64, want error) {
		t.Helper()
		var body Body
		body.Reset(strings.NewReader(text), length, limit)
		err := body.Load()
		for err == nil && !body.ended {
			_, err = body.more(uploadPiece)
		}
		if err != want || body.Err() != want || err == nil && string(body.kept) != text {
			t.Errorf("%d octets, announced %d: %v", len(text), length, err)
		}
	}
	f("hello", 5, 5, nil)
	f("hello", wire.Chunked, 5, nil)
	f("", wire.Chunked, 5, nil)
	f("hello", 6, 10, io.ErrUnexpectedEOF)
	f("", 1, 10, io.ErrUnexpectedEOF)
	f("hello", wire.Chunked, 4, ErrBodyTooLarge)
	f(strings.Repeat("x", LoadMax+1), LoadMax+1, 1<<20, nil)
}

// stalling is a body that fails when it is told to.
type stalling struct{ until <-chan struct{} }

func (s stalling) Read(p []byte) (int, error) {
	<-s.until
	return 0, io.ErrClosedPipe
}

// TestNodeBreaksOffWhileABodyIsAwaited: whether it can be sent again is asked while it is
// read, and fails: which of both comes first is open, but the race detector must have nothing to say.
func TestNodeBreaksOffWhileABodyIsAwaited(t *testing.T) {
	fail := make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_ = conn.Close()
		}
		time.AfterFunc(50*time.Millisecond, func() { close(fail) })
	}()
	var body Body
	body.Reset(stalling{fail}, wire.Chunked, 1<<40)
	request := &Request{
		Head: []byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), Body: &body,
		Deadline: time.Now().Add(patience), Wait: patience, Patience: patience,
	}
	var failure *Failure
	if _, err := newTransport(t).Send(Target{Node: "n1", Address: listener.Addr().String()}, request); !errors.As(err, &failure) {
		t.Errorf("got %v", err)
	}
}
