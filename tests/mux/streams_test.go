package mux_test

import (
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/tests/authority"
)

const large = 10 << 20

// TestLargeBesideSmall: long bodies, those that nobody reads too, hold up no short request on the same connection.
func TestLargeBesideSmall(t *testing.T) {
	stalled := make(chan struct{})
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			_, _ = io.CopyN(w, zeros{}, large)
		case "/up":
			sum := sha256.New()
			_, _ = io.Copy(sum, r.Body)
			_, _ = w.Write(sum.Sum(nil))
		case "/unread":
			<-stalled
		default:
			_, _ = io.WriteString(w, "ok")
		}
	})
	ways := muxed(t, n)
	var others sync.WaitGroup
	others.Go(func() { // a client that does not read
		answer, err := ways.mux.Send(n.target(), get("/down"))
		if err != nil {
			t.Error(err)
			return
		}
		<-stalled
		answer.Close()
	})
	others.Go(func() { // a handler that does not read
		_, _, _ = fetch(ways.mux, n.target(), post(t, "/unread", zeros{}, 1<<30))
	})
	for range 2 {
		others.Go(func() {
			if _, body, err := fetch(ways.mux, n.target(), get("/down")); len(body) != large || err != nil {
				t.Errorf("%d octets came down: %v", len(body), err)
			}
		})
		others.Go(func() {
			sum := sha256.New()
			source := io.TeeReader(io.LimitReader(zeros{}, large), sum)
			if _, body, err := fetch(ways.mux, n.target(), post(t, "/up", source, -1)); body != string(sum.Sum(nil)) || err != nil {
				t.Errorf("other octets went up: %v", err)
			}
		})
	}
	var worst time.Duration
	for range 200 {
		began := time.Now()
		if _, body, err := fetch(ways.mux, n.target(), get("/small")); body != "ok" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
		worst = max(worst, time.Since(began))
	}
	close(stalled)
	others.Wait()
	if worst > 2*time.Second {
		t.Errorf("a short request took %v", worst)
	}
	if repeats := ways.mux.Stats.Repeats.Load(); repeats > 0 || ways.http.Stats.Connects.Load() > 1 {
		t.Errorf("%d requests went another way", repeats)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestOverTLS: the handler sees the certificate that the connection was made with; another node at the address is
// not spoken to.
func TestOverTLS(t *testing.T) {
	issue := authority.New(t).Security
	listener, err := issue(transport.RoleNode, "n1").Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := serveAt(t, listener, func(w http.ResponseWriter, r *http.Request) {
		caller, _ := transport.CallerOf(r.TLS)
		_, _ = io.WriteString(w, caller.String())
	})
	proxy := issue(transport.RoleProxy, "p1")
	ways := open(t, func(ctx context.Context, to forward.Target) (net.Conn, error) {
		return proxy.Dial(ctx, to.Address, transport.Identity{Role: transport.RoleNode, Name: string(to.Node)})
	}, 1)
	ways.meet(t, n.target())
	before := ways.mux.Stats.Requests.Load()
	if _, body, err := fetch(ways.mux, n.target(), get("/")); body != "proxy p1" || err != nil || ways.mux.Stats.Requests.Load() != before+1 {
		t.Errorf("got %q, %v", body, err)
	}
	if _, _, err := fetch(ways.mux, forward.Target{Node: "n2", Address: n.address}, get("/")); err == nil {
		t.Error("n1 was taken for n2")
	}
}

// TestKilled: a node that dies ends what is under way there, and nothing looks whole; the next find it when it is
// back.
func TestKilled(t *testing.T) {
	begun := make(chan struct{}, 16)
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			begun <- struct{}{}
			<-r.Context().Done()
		case "/wait":
			begun <- struct{}{}
			<-r.Context().Done()
		default:
			_, _ = io.WriteString(w, "ok")
		}
	}
	n := serve(t, handler)
	ways := muxed(t, n)
	type outcome struct {
		body string
		err  error
	}
	outcomes := make(chan outcome, 2)
	for _, request := range []*forward.Request{get("/stream"), post(t, "/wait", strings.NewReader("x"), 1)} {
		go func() {
			_, body, err := fetch(ways.mux, n.target(), request)
			outcomes <- outcome{body, err}
		}()
	}
	await(t, begun)
	await(t, begun)
	_ = n.Close()
	for range 2 {
		if got := <-outcomes; got.err == nil || stageOf(got.err) == forward.NotConnected {
			t.Errorf("got %q, %v", got.body, got.err)
		}
	}
	if _, _, err := fetch(ways.mux, n.target(), get("/")); stageOf(err) != forward.NotConnected {
		t.Errorf("a node that is gone: %v", err)
	}
	listener, err := net.Listen("tcp", n.address)
	if err != nil {
		t.Skipf("the port is another's by now: %v", err)
	}
	serveAt(t, listener, handler)
	before := ways.mux.Stats.Connects.Load()
	for deadline := time.Now().Add(patience); ways.mux.Stats.Connects.Load() == before; {
		if time.Now().After(deadline) {
			t.Fatal("it is not found again")
		}
		if _, body, err := fetch(ways.mux, n.target(), get("/")); body != "ok" || err != nil {
			t.Errorf("back again: %q, %v", body, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestClosed: what is under way ends with the transport, and nothing starts.
func TestClosed(t *testing.T) {
	arrived := make(chan struct{})
	n := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(arrived)
			<-r.Context().Done()
		}
	})
	ways := muxed(t, n)
	failed := make(chan error, 1)
	go func() {
		_, _, err := fetch(ways.mux, n.target(), post(t, "/wait", strings.NewReader("x"), 1))
		failed <- err
	}()
	await(t, arrived)
	ways.mux.Close()
	ways.http.Close()
	if err := <-failed; stageOf(err) != forward.NotAnswered {
		t.Errorf("the request under way: %v", err)
	}
	if _, _, err := fetch(ways.mux, n.target(), get("/")); stageOf(err) != forward.NotConnected {
		t.Errorf("the next request: %v", err)
	}
}

// TestUpgradeIsForProxies: a request that a client could have sent through a proxy upgrades nothing.
func TestUpgradeIsForProxies(t *testing.T) {
	n := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	f := func(fields string, want int) {
		t.Helper()
		conn, err := net.Dial("tcp", n.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, "GET /.stead/mux HTTP/1.1\r\nHost: h\r\n"+fields+"\r\n")
		answer := make([]byte, len("HTTP/1.1 101"))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer[9:]) != strconv.Itoa(want) {
			t.Errorf("%q: %q, %v", fields, answer, err)
		}
	}
	const asks = "Connection: x, upgrade\r\nUpgrade: stead-mux/1\r\n"
	f(asks+"Stead-Mux: 1\r\n", 101)
	f(asks, 418)
	f(asks+"Stead-Mux: 1\r\nStead-Key: k\r\n", 418)
	f("Connection: upgrade\r\nUpgrade: stead-mux/2\r\nStead-Mux: 2\r\n", 418)
	f("Upgrade: stead-mux/1\r\nStead-Mux: 1\r\n", 418)
	f(asks+"Stead-Mux: 1\r\nContent-Length: 1\r\n\r\nx", 418)
}
