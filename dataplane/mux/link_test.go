package mux

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api/frames"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

const patience = 10 * time.Second

const okHead = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

// rawNode is a node of octets: it takes one connection after another over, and runs a script on each.
type rawNode struct {
	listener net.Listener
	serving  sync.WaitGroup
}

// peer is one connection, as the script of a node sees it.
type peer struct {
	net.Conn
	*frames.Reader
}

// head reads frames up to the next head.
func (p *peer) head() (frames.Frame, bool) {
	for {
		f, err := p.Next()
		if err != nil || f.Type == frames.TypeHead {
			return f, err == nil
		}
	}
}

func (p *peer) send(octets []byte) { _, _ = p.Write(octets) }

func startNode(t testing.TB, limits frames.Limits, script func(p *peer)) *rawNode {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &rawNode{listener: listener}
	n.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.serving.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(patience))
				buffered := bufio.NewReader(conn)
				if _, err := http.ReadRequest(buffered); err != nil {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: stead-mux/1\r\n\r\n")
				_, _ = conn.Write(frames.AppendHello(nil, limits))
				p := &peer{conn, frames.NewReader(buffered, nil)}
				if hello, err := p.Next(); err == nil && hello.Type == frames.TypeHello {
					script(p)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		n.serving.Wait()
	})
	return n
}

// recorder is a fallback that answers nothing and counts.
type recorder struct {
	mu     sync.Mutex
	bodies []string
}

var errElsewhere = &forward.Failure{Stage: forward.NotConnected, Err: io.ErrNoProgress}

func (r *recorder) Send(_ forward.Target, request *forward.Request) (forward.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body := ""
	if request.Body != nil {
		body = string(request.Body.Kept())
	}
	r.bodies = append(r.bodies, body)
	return nil, errElsewhere
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

// connected is a transport with a connection to a node.
func connected(t testing.TB, n *rawNode) (*Transport, forward.Target, *recorder) {
	t.Helper()
	fallback := new(recorder)
	transport := New(Config{Connections: 1, Fallback: fallback, Dial: func(ctx context.Context, to forward.Target) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", to.Address)
	}})
	t.Cleanup(transport.Close)
	to := forward.Target{Node: "n1", Address: n.listener.Addr().String()}
	known := transport.node(to)
	known.offer(nil)
	for deadline := time.Now().Add(patience); known.links[0].Load() == nil; {
		if time.Now().After(deadline) {
			t.Fatal("no connection came about")
		}
		time.Sleep(time.Millisecond)
	}
	return transport, to, fallback
}

func get() *forward.Request {
	return &forward.Request{Head: []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Safe: true, Deadline: time.Now().Add(patience), Wait: patience, Patience: patience}
}

func put() *forward.Request {
	r := get()
	r.Head, r.Safe, r.Body = []byte("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"), false, new(forward.Body)
	r.Body.Reset(strings.NewReader("body"), 4, 4)
	if err := r.Body.Load(); err != nil {
		panic(err)
	}
	return r
}

func fetch(transport *Transport, to forward.Target, r *forward.Request) (string, error) {
	answer, err := transport.Send(to, r)
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

var limits = frames.Limits{Streams: 100, Window: frames.WindowLeast}

// TestAnswered: what a node's frames come to for the one who asked.
func TestAnswered(t *testing.T) {
	f := func(name, head, body, more, wantBody string, whole bool) {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, limits, func(p *peer) {
				for f, ok := p.head(); ok; f, ok = p.head() {
					p.send(frames.AppendHead(nil, f.Stream, 0, []byte("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), nil))
					p.send(frames.AppendHead(nil, f.Stream, 0, []byte(head), []byte(body)))
					if strings.HasPrefix(name, "trailers") {
						p.send(frames.AppendTrailers(nil, f.Stream, []byte(more)))
					} else {
						p.send(frames.AppendData(nil, f.Stream, frames.End, []byte(more)))
					}
				}
			})
			transport, to, fallback := connected(t, n)
			for range 3 { // the connection goes on whatever comes on a stream
				if got, err := fetch(transport, to, put()); got != wantBody || (err == nil) != whole {
					t.Errorf("got %q, %v", got, err)
				}
			}
			if fallback.count() != 0 {
				t.Error("it went elsewhere")
			}
		})
	}
	f("length", okHead, "ok", "", "ok", true)
	f("in two frames", okHead, "o", "k", "ok", true)
	f("no length", "HTTP/1.1 200 OK\r\n\r\n", "one", "two", "onetwo", true)
	f("coded", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n", "\r\n", "0\r\n\r\n", true)
	f("too short", okHead, "o", "", "o", false)
	f("too long", okHead, "ok", "HTTP/1.1 200 OK\r\n", "ok", true)
	f("no head", "HTTP/1.1", "", "", "", false)
	f("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "ok", "", "", false)
	f("trailers", "HTTP/1.1 200 OK\r\n\r\n", "ok", "A: b\r\nSet-Cookie: c\r\n", "ok", true)
	f("trailers that are none", "HTTP/1.1 200 OK\r\n\r\n", "ok", "no colon", "ok", false)
	f("length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "ok", "", "", false)
}

// TestRepeats: which requests are sent again when their connection ends, or their node refuses them.
func TestRepeats(t *testing.T) {
	f := func(name string, request func() *forward.Request, script func(p *peer, f frames.Frame), again bool, want forward.Stage) {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, limits, func(p *peer) {
				if f, ok := p.head(); ok {
					script(p, f)
				}
			})
			transport, to, fallback := connected(t, n)
			asked := request()
			asked.Stats = new(forward.Stats)
			_, err := fetch(transport, to, asked)
			if repeats := fallback.count(); asked.Repeats != repeats || asked.Stats.Retries.Load() != uint64(repeats) || asked.Stats.Reuses.Load() != 1 {
				t.Errorf("%d repeats are counted as %d, and as %d of the node", repeats, asked.Repeats, asked.Stats.Retries.Load())
			}
			if again != (err == error(errElsewhere)) || again != (fallback.count() == 1) {
				t.Errorf("%v; sent again %d times", err, fallback.count())
			}
			if failure, failed := err.(*forward.Failure); !again && (!failed || failure.Stage != want) {
				t.Errorf("got %v, want stage %d", err, want)
			}
		})
	}
	ends := func(*peer, frames.Frame) {}
	refuses := func(p *peer, f frames.Frame) {
		p.send(frames.AppendReset(nil, f.Stream, frames.CodeRefused))
		_, _ = p.Next()
	}
	leaves := func(p *peer, f frames.Frame) {
		p.send(frames.AppendGoAway(nil, f.Stream-1))
		_, _ = p.Next()
	}
	fails := func(p *peer, f frames.Frame) {
		p.send(frames.AppendReset(nil, f.Stream, frames.CodeFailed))
		_, _ = p.Next()
	}
	begins := func(p *peer, f frames.Frame) {
		p.send(frames.AppendHead(nil, f.Stream, 0, []byte("HTTP/1.1 200"), nil))
		_, _ = p.Next()
	}
	f("GET, ended", get, ends, true, 0)
	f("PUT, ended", put, ends, false, forward.NotAnswered)
	f("GET, refused", get, refuses, true, 0)
	f("PUT, refused", put, refuses, true, 0)
	f("PUT, not seen before it left", put, leaves, true, 0)
	f("GET, failed", get, fails, false, forward.Broken)
	f("PUT, failed", put, fails, false, forward.Broken)
	f("GET, another protocol", get, func(p *peer, f frames.Frame) {
		p.send(frames.AppendHead(nil, f.Stream, 0, []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"), nil))
		_, _ = p.Next()
	}, false, forward.Broken)
	f("GET, no head", get, begins, false, forward.Broken)
}

// TestViolations: a node that breaks the protocol loses its connection, and what is under way there.
func TestViolations(t *testing.T) {
	f := func(name string, octets func(id uint64) []byte) {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, limits, func(p *peer) {
				if f, ok := p.head(); ok {
					p.send(octets(f.Stream))
					_, _ = io.Copy(io.Discard, p.Conn)
				}
			})
			transport, to, _ := connected(t, n)
			if got, err := fetch(transport, to, put()); err == nil {
				t.Errorf("got %q", got)
			}
		})
	}
	f("data before a head", func(id uint64) []byte { return frames.AppendData(nil, id, frames.End, []byte("ok")) })
	f("two heads", func(id uint64) []byte {
		return frames.AppendHead(frames.AppendHead(nil, id, 0, []byte(okHead), nil), id, 0, []byte(okHead), nil)
	})
	f("a stream never opened", func(id uint64) []byte { return frames.AppendHead(nil, id+1, frames.End, []byte(okHead), []byte("ok")) })
	f("an interim answer behind the head", func(id uint64) []byte {
		octets := frames.AppendHead(nil, id, 0, []byte("HTTP/1.1 200 OK\r\n\r\n"), nil)
		return frames.AppendHead(octets, id, 0, []byte("HTTP/1.1 103 Early Hints\r\n\r\n"), nil)
	})
	f("trailers before a head", func(id uint64) []byte { return frames.AppendTrailers(nil, id, []byte("A: b\r\n")) })
	f("a hello", func(uint64) []byte { return frames.AppendHello(nil, limits) })
	f("an interim answer that ends", func(id uint64) []byte {
		return frames.AppendHead(nil, id, frames.End, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil)
	})
	f("more than the window", func(id uint64) []byte {
		octets := frames.AppendHead(nil, id, 0, []byte("HTTP/1.1 200 OK\r\n\r\n"), nil)
		for range 2*windowSize/frames.PieceMax + 1 {
			octets = frames.AppendData(octets, id, 0, make([]byte, frames.PieceMax))
		}
		return octets
	})
	f("no frame", func(uint64) []byte { return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") })
}

// TestStreamsMax: a connection carries no more than its node takes; the rest goes by HTTP/1.1.
func TestStreamsMax(t *testing.T) {
	release := make(chan struct{})
	n := startNode(t, frames.Limits{Streams: 1, Window: frames.WindowLeast}, func(p *peer) {
		for f, ok := p.head(); ok; f, ok = p.head() {
			<-release
			p.send(frames.AppendHead(nil, f.Stream, frames.End, []byte(okHead), []byte("ok")))
		}
	})
	transport, to, fallback := connected(t, n)
	first := make(chan error, 1)
	go func() {
		_, err := fetch(transport, to, put())
		first <- err
	}()
	for deadline := time.Now().Add(patience); transport.Stats.Requests.Load() < 1 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if _, err := fetch(transport, to, put()); err != error(errElsewhere) || fallback.bodies[0] != "body" {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := fetch(transport, to, put()); err != nil {
		t.Error(err)
	}
}

// TestSilence: a node that has vanished does not swallow request after request.
func TestSilence(t *testing.T) {
	n := startNode(t, limits, func(p *peer) {
		for _, ok := p.head(); ok; _, ok = p.head() {
		}
	})
	transport, to, fallback := connected(t, n)
	r := put()
	r.Deadline = time.Now().Add(20 * time.Millisecond)
	if _, err := fetch(transport, to, r); err == nil || fallback.count() != 0 {
		t.Errorf("got %v", err)
	}
	for deadline := time.Now().Add(patience); transport.node(to).links[0].Load() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the connection is kept")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestIdle: a connection that carries nothing is closed, one that does is not.
func TestIdle(t *testing.T) {
	n := startNode(t, limits, func(p *peer) {
		for f, ok := p.head(); ok; f, ok = p.head() {
			p.send(frames.AppendHead(nil, f.Stream, frames.End, []byte(okHead), []byte("ok")))
		}
	})
	transport, to, _ := connected(t, n)
	known := transport.node(to)
	known.expire()
	for range 3 {
		if _, err := fetch(transport, to, put()); err != nil {
			t.Fatal(err)
		}
		known.expire()
	}
	known.expire()
	for deadline := time.Now().Add(patience); known.links[0].Load() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the connection is kept")
		}
		time.Sleep(time.Millisecond)
	}
}

// FuzzLink: whatever a node sends, every request ends, and none gets what is not its own.
func FuzzLink(f *testing.F) {
	f.Add(frames.AppendHead(nil, 1, frames.End, []byte(okHead), []byte("ok")), 1)
	f.Add(frames.AppendData(frames.AppendHead(nil, 2, 0, []byte("HTTP/1.1 200 OK\r\n\r\n"), []byte("o")), 2, frames.End, []byte("k")), 7)
	f.Add(frames.AppendReset(frames.AppendGoAway(nil, 1), 1, frames.CodeRefused), 3)
	f.Add(frames.AppendWindow(frames.AppendHead(nil, 3, 0, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil), 3, 9), 16)
	f.Add(frames.AppendTrailers(frames.AppendHead(nil, 1, 0, []byte("HTTP/1.1 200 OK\r\n\r\n"), nil), 1, []byte("A: b\r\n")), 2)
	f.Add(frames.AppendHead(nil, 2, 0, []byte("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), nil), 4)
	f.Fuzz(func(t *testing.T, octets []byte, _ int) {
		here, there := net.Pipe()
		l := newLink(here, frames.NewReader(here, nil))
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, there)
		}()
		l.greet(limits)
		ended := make(chan struct{}, 3)
		for range cap(ended) {
			r := get()
			s := l.begin(r)
			go func() {
				defer func() { ended <- struct{}{} }()
				if s == nil {
					return
				}
				if failure, _ := s.exchange(r); failure != nil {
					return
				}
				for _, err := s.Next(); err == nil; _, err = s.Next() {
				}
				if err := wire.CheckTrailers(s.Trailers(), nil); err != nil {
					t.Errorf("trailers %q pass: %v", s.Trailers(), err)
				}
				s.Close()
			}()
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			l.fail(l.read())
		}()
		_, _ = there.Write(octets)
		_ = there.Close()
		for range cap(ended) {
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("a request does not end")
			}
		}
		<-read
		<-drained
		if l.open != 0 {
			t.Fatalf("%d streams are left", l.open)
		}
	})
}
