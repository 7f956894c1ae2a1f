package dataplane

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestWaysDiffer holds what docs/mux.md says of the differences between the ways: that there are these.
func TestWaysDiffer(t *testing.T) {
	var aborted atomic.Int32
	ways := startTwoWays(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "hijack":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				_, _ = fmt.Fprint(w, errors.Is(err, http.ErrNotSupported))
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
			_ = conn.Close()
		case "3000":
			_, _ = w.Write(make([]byte, 3000))
		case "short":
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "short")
		case "five":
			w.Header().Set("Content-Length", "five")
			_, _ = io.WriteString(w, "hello")
		case "abort":
			aborted.Add(1)
			panic(http.ErrAbortHandler)
		case "half-duplex":
			_, _ = io.WriteString(w, "early")
			_ = http.NewResponseController(w).Flush()
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, n)
		}
	})
	f := func(name, request, wantHTTP, wantMux string) {
		t.Helper()
		for want, proxy := range map[string]*Proxy{"http " + wantHTTP: ways.http, "mux " + wantMux: ways.mux} {
			way, want, _ := strings.Cut(want, " ")
			if got := read(converse(t, proxy, request), "GET"); !strings.Contains(got, want) {
				t.Errorf("%s by %s: got %.400q, want %q", name, way, got, want)
			}
		}
	}
	const fields = " HTTP/1.1\r\nHost: h\r\n"
	f("hijacking", "POST /kv/a?hijack"+fields+"\r\n", `4 octets "mine"`, `4 octets "true"`)
	f("answers of 2 to 4 KiB", "GET /kv/a?3000"+fields+"\r\n", "\r\nTransfer-Encoding: chunked\n", "\r\nContent-Length: 3000\n")
	f("an answer known to be short", "GET /kv/a?short"+fields+"\r\n", `5 octets "short" unexpected EOF`, "HTTP/1.1 502 ")
	f("a length that is no number", "GET /kv/a?five"+fields+"\r\n", "\r\nTransfer-Encoding: chunked\n", "\r\nContent-Length: 5\n")
	f("a target that is none to net/http", "GET /kv/%zz"+fields+"X-Shard-Key: k\r\n\r\n", "400 Bad Request\r\nContent-Type: text/plain", "400 Bad Request\r\nContent-Type: application/problem+json")
	f("the rest of a body behind an answer", "POST /kv/a?half-duplex"+fields+"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", `"early0"`, `"early2"`)

	// By HTTP/1.1 a connection that was used before and ends without a word may have been closed before the request
	// came: a safe one is sent again.
	_ = converse(t, ways.http, "")
	aborted.Store(0)
	f("a handler that says nothing", "GET /kv/a?abort"+fields+"\r\n", "HTTP/1.1 502 ", "HTTP/1.1 502 ")
	if got := aborted.Load(); got != 3 {
		t.Errorf("it ran %d times, want two by HTTP/1.1 and one by mux", got)
	}
}

// TestEventsAtOnce: the first event reaches the client before the node has sent a second, by either way.
func TestEventsAtOnce(t *testing.T) {
	seen := make(chan struct{})
	ways := startTwoWays(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "events" {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range []string{"one", "two"} {
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-seen:
			case <-r.Context().Done():
				return
			}
		}
	})
	ways.each(t, func(t *testing.T, proxy *Proxy) {
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Get("http://" + proxy.Addr() + "/kv/a?events")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		for _, want := range []string{"data: one\n\n", "data: two\n\n"} {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Fatalf("got %q, %v", got, err)
			}
			seen <- struct{}{}
		}
		if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
			t.Errorf("then came %q, %v", rest, err)
		}
	})
}

// TestSlowReader: a client that does not read its answer is shed, and its handler told, by either way.
func TestSlowReader(t *testing.T) {
	ended := make(chan struct{}, 1)
	ways := startTwoWays(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "endless" {
			return
		}
		_, _ = io.Copy(w, zeros{})
		<-r.Context().Done()
		ended <- struct{}{}
	}, func(c *Config) { c.StreamTimeout = time.Second }) // on a busy machine the node, which has as long, takes over 100 ms now and then
	ways.each(t, func(t *testing.T, proxy *Proxy) {
		conn := dial(t, proxy)
		_, _ = io.WriteString(conn, "GET /kv/a?endless HTTP/1.1\r\nHost: h\r\n\r\n")
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the handler is not told")
		}
		if _, err := io.Copy(io.Discard, conn); err == nil {
			t.Error("what came looks whole")
		}
	})
}
