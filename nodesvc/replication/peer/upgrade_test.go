package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

func dialTCP(ctx context.Context, _ api.NodeID, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// serveNode gives links an HTTP server that takes connections of other nodes, and nothing else.
func serveNode(t testing.TB, links *Links) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := Upgrade(w, r); err == nil {
			links.Accept(conn, "")
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// overTCP is nodes a and b, linked over HTTP servers.
func overTCP(t testing.TB, handlerA, handlerB Handler) (a, b *Links) {
	t.Helper()
	a = Open(Config{Self: testHello("a"), Handler: handlerA, Dial: DialHTTP(dialTCP)})
	b = Open(Config{Self: testHello("b"), Handler: handlerB, Dial: DialHTTP(dialTCP)})
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	list := []api.SlotNode{{ID: "a", Address: serveNode(t, a)}, {ID: "b", Address: serveNode(t, b)}}
	b.Follow(list)
	a.Follow(list)
	return a, b
}

// channels is a handler that passes on what it hears.
type channels struct {
	linked chan Hello
	lost   chan Hello
	frames chan []byte
}

func newChannels() *channels {
	return &channels{linked: make(chan Hello, 16), lost: make(chan Hello, 16), frames: make(chan []byte, 16)}
}

func (c *channels) Linked(from Hello)                     { c.linked <- from }
func (c *channels) Lost(from Hello)                       { c.lost <- from }
func (c *channels) Receive(_ Hello, _ uint8, body []byte) { c.frames <- body }

func TestLinksOverHTTP(t *testing.T) {
	hearA, hearB := newChannels(), newChannels()
	a, b := overTCP(t, hearA, hearB)
	if from := <-hearB.linked; from != testHello("a") {
		t.Errorf("%+v", from)
	}
	<-hearA.linked
	large := strings.Repeat("x", FrameMax)
	if err := errors.Join(a.Send("b", 1, []byte(large)), b.Send("a", 1, []byte("answer"))); err != nil {
		t.Fatal(err)
	}
	if got := <-hearB.frames; string(got) != large {
		t.Errorf("%d octets arrived", len(got))
	}
	if got := <-hearA.frames; string(got) != "answer" {
		t.Errorf("%q arrived", got)
	}
}

func TestLinksOverTLS(t *testing.T) {
	hearA, hearB := newChannels(), newChannels()
	b := Open(Config{Self: testHello("b"), Handler: hearB})
	caller := atomic.Pointer[api.NodeID]{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := Upgrade(w, r); err == nil {
			b.Accept(conn, *caller.Load())
		}
	}))
	t.Cleanup(server.Close)
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
	a := Open(Config{Self: testHello("a"), Handler: hearA, Dial: DialHTTP(func(ctx context.Context, _ api.NodeID, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	})})
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })

	named := api.NodeID("a")
	caller.Store(&named)
	a.Follow([]api.SlotNode{{ID: "b", Address: server.Listener.Addr().String()}})
	<-hearA.linked
	<-hearB.linked
	if err := errors.Join(a.SendBulk(t.Context(), "b", 1, make([]byte, BulkMax)), b.Send("a", 1, make([]byte, FrameMax))); err != nil {
		t.Fatal(err)
	}
	if up, down := <-hearB.frames, <-hearA.frames; len(up) != BulkMax || len(down) != FrameMax {
		t.Errorf("%d and %d octets arrived", len(up), len(down))
	}

	other := api.NodeID("c") // the certificate is another's from now on
	caller.Store(&other)
	before := a.Stats()[0].Connections
	b.Follow(nil)
	b.Follow([]api.SlotNode{{ID: "a"}})
	<-hearA.lost
	conn, err := a.config.Dial(t.Context(), "b", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = greeter{self: testHello("a"), timeout: time.Minute}.call(conn, "b")
	if !errors.Is(err, errRefused) {
		t.Errorf("with another's certificate: %v", err)
	}
	_ = conn.Close()
	if now := a.Stats()[0]; now.Linked || now.Connections != before {
		t.Errorf("with another's certificate: %+v", now)
	}
}

func TestUpgradeKeepsWhatCameWithTheRequest(t *testing.T) {
	conns := make(chan net.Conn, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := Upgrade(w, r)
		if err != nil {
			t.Error(err)
		}
		conns <- conn
	}))
	defer server.Close()
	conn, err := dialTCP(t.Context(), "", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET "+Path+" HTTP/1.1\r\nHost: b\r\nConnection: close, upgrade\r\nUpgrade: Stead-Replication/1\r\n\r\nfirst")
	taken := <-conns
	defer func() { _ = taken.Close() }()
	if innermost(taken) == taken {
		t.Log("nothing came with the request")
	}
	_, _ = io.WriteString(conn, " second")
	got := make([]byte, len("first second"))
	if _, err := io.ReadFull(taken, got); err != nil || string(got) != "first second" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRequestsThatDoNotUpgrade(t *testing.T) {
	f := func(status int, change func(*http.Request)) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, Path, nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", Protocol)
		change(r)
		w := httptest.NewRecorder() // cannot be hijacked
		if _, err := Upgrade(w, r); !errors.Is(err, ErrNotUpgraded) {
			t.Errorf("%v", err)
		}
		if w.Code != status {
			t.Errorf("%d, want %d", w.Code, status)
		}
	}
	f(400, func(r *http.Request) { r.Method = http.MethodPost })
	f(400, func(r *http.Request) { r.ContentLength = 1 })
	f(400, func(r *http.Request) { r.Header.Del("Connection") })
	f(400, func(r *http.Request) { r.Header.Set("Upgrade", "websocket") })
	f(400, func(r *http.Request) { r.Header.Add("Upgrade", "websocket") })
	f(501, func(*http.Request) {}) // as with HTTP/2
}

func TestAnswersThatDoNotUpgrade(t *testing.T) {
	const agreed = "Connection: upgrade\r\nUpgrade: " + Protocol + "\r\n"
	f := func(answer, want string) {
		t.Helper()
		here, there := net.Pipe()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(there))
			_, _ = io.WriteString(there, answer)
			_ = there.Close()
		}()
		dial := DialHTTP(func(context.Context, api.NodeID, string) (net.Conn, error) { return here, nil })
		conn, err := dial(t.Context(), "b", "b:1")
		if want == "" {
			if err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(conn)
			if err != nil || string(rest) != "rest" {
				t.Errorf("behind the answer: %q, %v", rest, err)
			}
			_ = conn.Close()
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	f("HTTP/1.1 101 Switching Protocols\r\n"+agreed+"\r\nrest", "")
	f("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "not upgraded")
	f("HTTP/1.1 101 Switching Protocols\r\n\r\n", "not upgraded")
	f("HTTP/1.1 404 Not Found\r\n"+agreed+"Content-Length: 0\r\n\r\n", `"404 Not Found"`)
	f("SSH-2.0-OpenSSH_9.9\r\n", "cannot read the answer")
	f("HTTP/1.1 101 Switching Protocols\r\nX: "+strings.Repeat("x", answerMax)+"\r\n"+agreed+"\r\n", "cannot read the answer")
	f("", "cannot read the answer")
}

func TestAnUpgradeThatIsNotAnsweredEnds(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	dial := DialHTTP(func(context.Context, api.NodeID, string) (net.Conn, error) { return here, nil })
	if _, err := dial(ctx, "b", "b:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	refused := fmt.Errorf("no route")
	dial = DialHTTP(func(context.Context, api.NodeID, string) (net.Conn, error) { return nil, refused })
	if _, err := dial(t.Context(), "b", "b:1"); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
}
