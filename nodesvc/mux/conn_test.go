package mux

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api/frames"
)

const patience = 10 * time.Second

const request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// proxy is a raw proxy: it writes octets and reads frames.
type proxy struct {
	net.Conn
	reader *frames.Reader
}

func serve(t testing.TB, handler http.HandlerFunc) (*Server, string) {
	t.Helper()
	server := NewServer(handler, slog.New(slog.DiscardHandler))
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		server.Close()
		web.Close()
	})
	return server, web.Listener.Addr().String()
}

// meet upgrades a connection, and reads the node's hello.
func meet(t testing.TB, address string) *proxy {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "GET /.stead/mux HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: stead-mux/1\r\nStead-Mux: 1\r\n\r\n")
	buffered := bufio.NewReader(conn)
	answer, err := http.ReadResponse(buffered, nil)
	if err != nil || answer.StatusCode != 101 {
		t.Fatalf("%v, %v", answer, err)
	}
	before, _ := buffered.Peek(buffered.Buffered())
	p := &proxy{conn, frames.NewReader(conn, before)}
	if hello := p.next(t); hello.Type != frames.TypeHello || hello.Limits.Streams != StreamsMax || hello.Limits.Window != windowSize {
		t.Fatalf("%+v", hello)
	}
	return p
}

func hello() []byte {
	return frames.AppendHello(nil, frames.Limits{Streams: 1000, Window: frames.WindowLeast})
}

func (p *proxy) send(octets []byte) { _, _ = p.Write(octets) }

func (p *proxy) next(t testing.TB) frames.Frame {
	t.Helper()
	f, err := p.reader.Next()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// awaitEnd reads until the node closes the connection.
func (p *proxy) awaitEnd(t testing.TB) {
	t.Helper()
	for {
		if _, err := p.reader.Next(); err != nil {
			if err, timeout := err.(net.Error); timeout && err.Timeout() {
				t.Error("the node does not close the connection")
			}
			return
		}
	}
}

// TestViolations: what breaks the protocol ends the connection, and runs no handler.
func TestViolations(t *testing.T) {
	f := func(name string, wantServed int32, octets ...[]byte) {
		t.Run(name, func(t *testing.T) {
			var served atomic.Int32
			_, address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				served.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
			})
			p := meet(t, address)
			for _, some := range octets {
				p.send(some)
			}
			p.awaitEnd(t)
			if got := served.Load(); got > wantServed {
				t.Errorf("%d requests were served", got)
			}
		})
	}
	open := func(id uint64) []byte { return frames.AppendHead(nil, id, frames.End, []byte(request), nil) }
	chunked := []byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	f("no hello", 0, open(1))
	f("two hellos", 0, hello(), hello())
	f("no frame", 0, hello(), []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	f("a stream again", 1, hello(), open(1), open(1))
	f("a stream below", 1, hello(), open(3), open(2))
	f("data for none", 0, hello(), frames.AppendData(nil, 1, 0, []byte("x")))
	f("window for none", 0, hello(), frames.AppendWindow(nil, 1, 1))
	f("reset for none", 0, hello(), frames.AppendReset(nil, 1, frames.CodeCancel))
	f("a window beyond", 1, hello(), frames.AppendHead(nil, 1, 0, chunked, nil), frames.AppendWindow(nil, 1, 1<<31-1))
}

// TestWindowOverrun: more than a handler that does not read was promised ends the connection.
func TestWindowOverrun(t *testing.T) {
	_, address := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := meet(t, address)
	octets := frames.AppendHead(hello(), 1, 0, []byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), nil)
	for range windowSize/frames.PieceMax + 1 {
		octets = frames.AppendData(octets, 1, 0, make([]byte, frames.PieceMax))
	}
	p.send(octets)
	p.awaitEnd(t)
}

// TestHeads: heads that are none are answered 400, and end nothing else.
func TestHeads(t *testing.T) {
	_, address := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	p := meet(t, address)
	p.send(hello())
	id := uint64(0)
	f := func(head, body, want string) {
		t.Helper()
		id++
		p.send(frames.AppendHead(nil, id, frames.End, []byte(head), []byte(body)))
		answer := p.next(t)
		if got := string(answer.Head[:min(len(answer.Head), len("HTTP/1.1 200"))]) + " " + string(answer.Body); answer.Stream != id || !strings.HasPrefix(got, want) {
			t.Errorf("%q: %d %q", head, answer.Stream, got)
		}
	}
	f(request, "", "HTTP/1.1 200 ")
	f("GET / HTTP/1.1\r\nHost: h\r\n", "", "HTTP/1.1 400 ")
	f("", "", "HTTP/1.1 400 ")
	f(request+request, "", "HTTP/1.1 400 ")
	f("GET / HTTP/1.0\r\nHost: h\r\n\r\n", "", "HTTP/1.1 400 ")
	f("GET / HTTP/1.1\r\n\r\n", "", "HTTP/1.1 400 ")
	f("GET / HTTP/1.1\r\nHost: h\r\nbad name: x\r\n\r\n", "", "HTTP/1.1 400 ")
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", "hello", "HTTP/1.1 200 hello")
	// Chunks mean nothing here: the octets are the body.
	f("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n", "HTTP/1.1 200 0\r\n\r\n")
	f(request, "unannounced", "HTTP/1.1 200 ")
}

// TestLength: a body that is not as long as announced is no body.
func TestLength(t *testing.T) {
	errs := make(chan error, 1)
	_, address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	})
	p := meet(t, address)
	p.send(hello())
	for id, body := range []string{"four", "sixsix"} {
		p.send(frames.AppendHead(nil, uint64(id+1), frames.End, []byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"), []byte(body)))
		if err := <-errs; err == nil {
			t.Errorf("%q passes", body)
		}
	}
}

// TestTrailersRead: what came behind a body is the request's, or an error of its body; it ends nothing else.
func TestTrailersRead(t *testing.T) {
	type outcome struct {
		trailer http.Header
		err     error
	}
	read := make(chan outcome, 1)
	_, address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- outcome{r.Trailer, err}
	})
	p := meet(t, address)
	p.send(hello())
	id := uint64(0)
	f := func(fields, lines, want string, whole bool) {
		t.Helper()
		id++
		p.send(frames.AppendTrailers(frames.AppendHead(nil, id, 0, []byte("POST / HTTP/1.1\r\nHost: h\r\n"+fields+"\r\n"), []byte("body")), id, []byte(lines)))
		if got := <-read; fmt.Sprint(got.trailer) != want || (got.err == nil) != whole {
			t.Errorf("%q: %v, %v", lines, got.trailer, got.err)
		}
	}
	const chunked = "Transfer-Encoding: chunked\r\n"
	f(chunked, "A: b\r\na: c\r\nB:d\r\n", "map[A:[b c] B:[d]]", true)
	f(chunked+"Trailer: x, A\r\n", "A: b\r\n", "map[A:[b] X:[]]", true)
	f(chunked, "no colon\r\n", "map[]", false)
	f(chunked, "bad name: x\r\n", "map[]", false)
	f(chunked, "A: b\x00\r\n", "map[]", false)
	f(chunked, "A: b", "map[]", false)
	f("Content-Length: 4\r\n", "A: b\r\n", "map[]", true)
}

// TestStreamsMax: beyond the limit requests are refused, those whose streams were reset counted as long as their
// handlers run.
func TestStreamsMax(t *testing.T) {
	var running atomic.Int32
	release := make(chan struct{})
	_, address := serve(t, func(http.ResponseWriter, *http.Request) {
		running.Add(1)
		<-release
	})
	p := meet(t, address)
	octets := hello()
	for id := uint64(1); id <= StreamsMax+10; id++ {
		octets = frames.AppendHead(octets, id, frames.End, []byte(request), nil)
		octets = frames.AppendReset(octets, id, frames.CodeCancel)
	}
	p.send(octets)
	for id := uint64(StreamsMax + 1); id <= StreamsMax+10; id++ {
		if f := p.next(t); f.Type != frames.TypeReset || f.Stream != id || frames.Code(f.Number) != frames.CodeRefused {
			t.Errorf("stream %d: %+v", id, f)
		}
	}
	for deadline := time.Now().Add(patience); running.Load() < StreamsMax && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := running.Load(); got != StreamsMax {
		t.Errorf("%d handlers run", got)
	}
	close(release)
}

// TestSlowProxy: an answer stops where its window does, others go on, and frames of later versions are skipped.
func TestSlowProxy(t *testing.T) {
	_, address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			_, _ = w.Write(make([]byte, 1<<20))
			return
		}
		_, _ = io.WriteString(w, "short")
	})
	p := meet(t, address)
	p.send(frames.AppendHead(hello(), 1, frames.End, []byte("GET /long HTTP/1.1\r\nHost: h\r\n\r\n"), nil))
	read := func(until int) (got int) {
		for got < until {
			f := p.next(t)
			got += len(f.Body)
			if f.Stream != 1 {
				t.Fatalf("%+v", f)
			}
		}
		return got
	}
	if got := read(frames.WindowLeast); got != frames.WindowLeast {
		t.Errorf("%d octets came in a window of %d", got, frames.WindowLeast)
	}
	later := append([]byte{0xc0, 9, 9, 9, 0, 0, 0, 2}, make([]byte, 10)...)
	p.send(frames.AppendHead(later, 2, frames.End, []byte(request), nil))
	if f := p.next(t); f.Stream != 2 || string(f.Body) != "short" || !f.Ends() {
		t.Errorf("%+v", f)
	}
	p.send(frames.AppendWindow(nil, 1, 100))
	if got := read(100); got != 100 {
		t.Errorf("%d octets came for 100", got)
	}
}

// TestGoAway: streams up to the last are answered, later ones are not looked at, and the node waits for the proxy
// to close.
func TestGoAway(t *testing.T) {
	var served atomic.Int32
	release := make(chan struct{})
	server, address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		<-release
	})
	p := meet(t, address)
	p.send(frames.AppendHead(hello(), 5, frames.End, []byte(request), nil))
	for deadline := time.Now().Add(patience); served.Load() < 1 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	drained := make(chan error, 1)
	go func() { drained <- server.Drain(context.Background()) }()
	if f := p.next(t); f.Type != frames.TypeGoAway || f.Number != 5 {
		t.Errorf("%+v", f)
	}
	p.send(frames.AppendData(frames.AppendHead(nil, 6, 0, []byte(request), nil), 6, frames.End, nil))
	close(release)
	if f := p.next(t); f.Stream != 5 || !f.Ends() {
		t.Errorf("%+v", f)
	}
	_ = p.Close()
	if err := <-drained; err != nil || served.Load() != 1 {
		t.Errorf("%v; %d were served", err, served.Load())
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /.stead/mux HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: stead-mux/1\r\nStead-Mux: 1\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != 503 {
		t.Errorf("%v, %v", answer, err)
	}
}

// FuzzConn: whatever a proxy sends, the node neither fails nor is left with anything, and answers what was whole.
func FuzzConn(f *testing.F) {
	f.Add(frames.AppendHead(hello(), 1, frames.End, []byte(request), nil))
	f.Add(frames.AppendReset(frames.AppendData(frames.AppendHead(hello(), 1, 0, []byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"), []byte("a")), 1, frames.End, []byte("bc")), 1, frames.CodeCancel))
	f.Add(frames.AppendWindow(frames.AppendHead(frames.AppendHead(hello(), 1, frames.End, []byte(request), nil), 2, 0, []byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"), nil), 2, 99))
	f.Add(frames.AppendTrailers(frames.AppendHead(hello(), 1, 0, []byte("POST / HTTP/1.1\r\nHost: h\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n"), []byte("b")), 1, []byte("A: b\r\n")))
	f.Add(frames.AppendGoAway(hello(), 1))
	server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		for name, values := range r.Trailer {
			w.Header()[http.TrailerPrefix+name] = values
		}
	}), slog.New(slog.DiscardHandler))
	upgrade := httptest.NewRequest(http.MethodGet, frames.Path, nil)
	f.Fuzz(func(t *testing.T, octets []byte) {
		here, there := net.Pipe()
		_ = here.SetDeadline(time.Now().Add(patience))
		c := newConn(server, upgrade.WithContext(t.Context()))
		served := make(chan error, 1)
		go func() { served <- c.serve(there, nil) }()
		read := make(chan error, 1)
		go func() {
			answers := frames.NewReader(here, nil)
			for {
				if _, err := answers.Next(); err != nil {
					read <- err
					return
				}
			}
		}()
		_, _ = here.Write(octets)
		_ = here.Close()
		select {
		case <-served:
		case <-time.After(patience):
			t.Fatal("the connection does not end")
		}
		if err, violation := (<-read).(frames.Error); violation {
			t.Fatalf("the node broke the protocol: %v", err)
		}
		if len(c.streams) != 0 {
			t.Fatalf("%d streams are left", len(c.streams))
		}
	})
}
