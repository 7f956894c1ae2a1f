package dataplane

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// head is that of a request for a path, names and values in turn.
func head(path string) []string {
	return []string{":method", "GET", ":scheme", "https", ":authority", "h", ":path", path}
}

// TestHTTP2NoWindow: an answer is reset whose client opens no window for it, however short it is.
func TestHTTP2NoWindow(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t), func(c *Config) { c.StreamTimeout = 100 * time.Millisecond })
	c := newFramed(t, shown, proxy)
	if err := c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	c.ask(1, head("/kv/a")...)
	if got := c.answer(1); got != "200" {
		t.Fatalf("got %s", got)
	}
	if got := c.answer(1); got != "INTERNAL_ERROR" {
		t.Errorf("the answer ended with %s", got)
	}
}

// TestHTTP2InterimsOfResetStreams: fields of an interim answer are not touched while they are written, whenever the client gives up.
func TestHTTP2InterimsOfResetStreams(t *testing.T) {
	hints := "HTTP/1.1 103 Early Hints\r\n" + strings.Repeat("Link: <"+strings.Repeat("x", 100)+">\r\n", 100) + "\r\n"
	node, shown := startNode(t, answer(strings.Repeat(hints, 8)+okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t))
	c := newFramed(t, shown, proxy)
	if err := c.WriteWindowUpdate(0, 1<<30); err != nil {
		t.Fatal(err)
	}
	for id := uint32(1); id < 400; id += 2 {
		c.ask(id, head("/kv/a")...)
		if got := c.answer(id); got != "103" {
			t.Fatalf("got %s", got)
		}
		if err := c.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
		node.next(t)
	}
}

// TestHTTP2NodeTalks: a call goes on in which the client has nothing to say while the node has.
func TestHTTP2NodeTalks(t *testing.T) {
	const words = 12
	address := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		for range words {
			_, _ = io.WriteString(w, "word ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	})
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), shown.security(t), func(c *Config) { c.StreamTimeout = 400 * time.Millisecond })
	silent, feed := io.Pipe()
	defer feed.Close()
	got, body := do(t, shown.client(t), request(t, proxy, "POST", "/kv/a", silent))
	if got.StatusCode != 200 || body != strings.Repeat("word ", words) {
		t.Errorf("got %v %q", got.Status, body)
	}
}

// TestHTTP2SlowTalk: a client may say little once it is answered, as in a call of gRPC that goes both ways.
func TestHTTP2SlowTalk(t *testing.T) {
	const words = 12
	address := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(w, r.Body)
	})
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), shown.security(t), func(c *Config) {
		c.StreamTimeout, c.RateMin = 250*time.Millisecond, 1<<20 // which counts from half a second on
	})
	source, feed := io.Pipe()
	go func() {
		defer feed.Close()
		for range words {
			_, _ = io.WriteString(feed, "word ")
			time.Sleep(100 * time.Millisecond)
		}
	}()
	got, body := do(t, shown.client(t), request(t, proxy, "POST", "/kv/a", source))
	if got.StatusCode != 200 || body != strings.Repeat("word ", words) {
		t.Errorf("got %d %q", got.StatusCode, body)
	}
}

// TestHTTP2RequestsOutliveTheirConnection: a connection counts until all that was asked on it is over.
func TestHTTP2RequestsOutliveTheirConnection(t *testing.T) {
	refuses, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refuses.Close()
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", refuses.Addr().String())), shown.security(t))
	c := newFramed(t, shown, proxy)
	c.ask(1, head("/kv/a")...)
	until(t, "the request", func() bool { return proxy.metrics.inFlight.Load() == 1 })
	_ = c.conn.Close()
	for proxy.metrics.inFlight.Load() > 0 {
		clients, still := proxy.server.Clients(), proxy.metrics.inFlight.Load()
		if clients == 0 && still > 0 {
			t.Fatal("the request goes on, and its client is forgotten")
		}
		time.Sleep(time.Millisecond)
	}
	until(t, "the end of the connection", func() bool { return proxy.server.Clients() == 0 })
}

// TestHTTP2DrainSpares: a client that still reads its answer when the proxy stops gets all of it.
func TestHTTP2DrainSpares(t *testing.T) {
	const length = 512 << 10
	node, shown := startNode(t, answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length)))), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t))
	c := newFramed(t, shown, proxy)
	if err := c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteWindowUpdate(0, 1<<30); err != nil {
		t.Fatal(err)
	}
	c.ask(1, head("/kv/a")...)
	node.next(t)
	until(t, "the end of the request", func() bool { return proxy.metrics.inFlight.Load() == 0 })
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		closed <- proxy.Close(ctx)
	}()
	got := 0
	for begun := time.Now(); got < length; {
		frame, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("%d octets came, then %v", got, err)
		}
		if data, is := frame.(*http2.DataFrame); is {
			got += len(data.Data())
			_ = c.WriteWindowUpdate(0, uint32(max(1, len(data.Data()))))
			if time.Since(begun) < 600*time.Millisecond {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	if err := <-closed; err != nil { // whoever stays is left
		t.Error(err)
	}
}
