package dataplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stead-io/stead/dataplane/forward"
)

// witness is a node that keeps every octet it gets, and knows when the proxy can send no more of them. It answers in
// all the ways in which answers end.
type witness struct {
	listener net.Listener
	serving  sync.WaitGroup

	dialling sync.Mutex // a connection is accepted before the next is made

	mu       sync.Mutex
	conns    []*witnessed
	requests []reading // those that were whole, in their order
	script   func(w io.Writer, n int, request *http.Request) (goOn bool)
}

// witnessed is a connection to a witness.
type witnessed struct {
	net.Conn
	far    net.Conn // the proxy's end
	octets bytes.Buffer
	done   chan struct{} // closed when all that came has been read
}

func startWitness(t testing.TB, script func(w io.Writer, n int, request *http.Request) bool) *witness {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{listener: listener, script: script}
	t.Cleanup(func() {
		_ = listener.Close()
		w.mu.Lock()
		for _, conn := range w.conns {
			_ = conn.Close()
		}
		w.mu.Unlock()
		w.serving.Wait()
	})
	return w
}

// before makes it the only node that a proxy, which has served nothing yet, sends requests to.
func (w *witness) before(proxy *Proxy) {
	proxy.nodes.Close()
	proxy.nodes = forward.New(forward.Config{
		Dial: w.dial, IdleMax: proxy.config.UpstreamIdleMax, IdleTimeout: proxy.config.UpstreamIdle,
	})
	proxy.server.Clients() // takes the lock that each connection's goroutine takes first: they see what was written
}

// dial makes a connection, both ends of which are known.
func (w *witness) dial(ctx context.Context, _ forward.Target) (net.Conn, error) {
	w.dialling.Lock()
	defer w.dialling.Unlock()
	var dialer net.Dialer
	far, err := dialer.DialContext(ctx, "tcp", w.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	near, err := w.listener.Accept()
	if err != nil {
		_ = far.Close()
		return nil, err
	}
	conn := &witnessed{Conn: near, far: far, done: make(chan struct{})}
	w.mu.Lock()
	w.conns = append(w.conns, conn)
	w.mu.Unlock()
	w.serving.Go(func() { w.serve(conn) })
	return far, nil
}

func (w *witness) serve(conn *witnessed) {
	defer close(conn.done)
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReaderSize(io.TeeReader(conn, writerFunc(func(p []byte) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return conn.octets.Write(p)
	})), readingMax)
	for {
		request, err := http.ReadRequest(reader)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			return
		}
		read, err := readingOf(request)
		if err != nil {
			_, _ = io.Copy(io.Discard, reader)
			return
		}
		w.mu.Lock()
		w.requests = append(w.requests, read)
		n := len(w.requests)
		w.mu.Unlock()
		if !w.script(conn, n, request) {
			return
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// settle waits, when the client's connection has ended, for what is on its way, and returns what has come on each
// connection, and the whole requests among it, since it was asked before. What the proxy keeps open it has had answered.
func (w *witness) settle() (octets [][]byte, requests []reading) {
	w.mu.Lock()
	conns := slices.Clone(w.conns)
	w.mu.Unlock()
	for _, conn := range conns {
		if gone(conn.far) {
			<-conn.done
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range conns {
		if conn.octets.Len() > 0 {
			octets = append(octets, bytes.Clone(conn.octets.Bytes()))
			conn.octets.Reset()
		}
	}
	w.conns = slices.DeleteFunc(w.conns, func(conn *witnessed) bool { return gone(conn.far) })
	requests, w.requests = w.requests, nil
	return octets, requests
}

// gone reports whether this end of a connection was closed.
func gone(conn net.Conn) bool {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// mark tells which request an answer is for.
const mark = "X-Witness"

// answerInTurn answers in all the ways in which answers end.
func answerInTurn(w io.Writer, n int, request *http.Request) bool {
	body := fmt.Sprintf("this is %d", n)
	if request.Method == http.MethodHead {
		body = ""
	}
	marked := fmt.Sprintf("%s: %d\r\n", mark, n)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	goOn := true
	var answer string
	switch n % 6 {
	case 0:
		answer = "HTTP/1.1 200 OK\r\n" + marked + length + "\r\n" + body
	case 1:
		answer = "HTTP/1.1 200 OK\r\n" + marked + "Transfer-Encoding: chunked\r\n\r\n"
		if body != "" {
			answer += fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n", len(body), body)
		}
	case 2:
		answer = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + marked + length + "\r\n" + body
	case 3:
		answer = "HTTP/1.1 204 No Content\r\n" + marked + "\r\n"
	case 4:
		answer = "HTTP/1.1 304 Not Modified\r\n" + marked + "Content-Length: 999\r\n\r\n"
	default:
		answer, goOn = "HTTP/1.0 200 OK\r\n"+marked+"\r\n"+body, false
	}
	_, err := io.WriteString(w, answer)
	return err == nil && goOn
}

// names lists requests for people.
func names(requests []reading) string {
	var all strings.Builder
	for i := range requests {
		fmt.Fprintf(&all, "%s %q for %q with %q, %v\n", requests[i].method, requests[i].target, requests[i].host, requests[i].body, requests[i].fields)
	}
	return all.String()
}
