package dataplane

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/nodesvc/mux"
)

// startMuxed starts a node that speaks stead-mux.
func startMuxed(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	streams := mux.NewServer(handler, discard)
	server := httptest.NewServer(streams)
	t.Cleanup(func() {
		streams.Close()
		server.Close()
	})
	return server.Listener.Addr().String()
}

func auto(c *Config) { c.Mux, c.MuxConnections = MuxAuto, 1 }

// meet sends requests until one has gone by mux.
func meet(t testing.TB, proxy *Proxy) {
	t.Helper()
	until(t, "a request by mux", func() bool {
		_, _ = talkOnce(t, proxy)
		return proxy.muxed.Stats.Requests.Load() > 0
	})
}

func talkOnce(t testing.TB, proxy *Proxy) (*http.Response, string) {
	t.Helper()
	return ask(t, proxy, "GET /kv/meet HTTP/1.1\r\nHost: h\r\n\r\n")
}

// TestMuxOctets: what clients get from a node on a stream, octet by octet.
func TestMuxOctets(t *testing.T) {
	address := startMuxed(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("Content-Type", "text/x")
		w.Header().Set("Stead-Anything", "1")
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Header.Get(api.HeaderKey)+" "+string(body))
		if r.URL.RawQuery == "flush" {
			_ = http.NewResponseController(w).Flush()
		}
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), auto)
	meet(t, proxy)
	f := func(request, want string, wantClosed bool) {
		t.Helper()
		before := proxy.muxed.Stats.Requests.Load()
		got, closed := talk(t, proxy, request)
		if got != want || closed != wantClosed {
			t.Errorf("%q: got\n%q, closed %v, want\n%q", request, got, closed, want)
		}
		if proxy.muxed.Stats.Requests.Load() == before {
			t.Error("it did not go by mux")
		}
	}
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\na ", false)
	f("HEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\n", false)
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 7\r\n\r\na hello", false)
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 7\r\n\r\na hello", false)
	f("GET /kv/a?flush HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na \r\n0\r\n\r\n", false)
	f("GET /kv/a?flush HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nConnection: close\r\n\r\na ", true)
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\nGET /kv/b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\na HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nb ", true)
}

// TestMuxMoved: a 421 on a stream is followed, its body with it.
func TestMuxMoved(t *testing.T) {
	var asked atomic.Int32
	old := startMuxed(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set(api.HeaderEpoch, "9")
		w.Header().Set(api.HeaderOwner, "n2")
		w.WriteHeader(http.StatusMisdirectedRequest)
	})
	now := startMuxed(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	view := viewOf(t, 1, func(table *ring.Table) {
		table.Nodes = []ring.Node{up("n1", old), up("n2", now)}
		for slot := range table.Epochs {
			table.Epochs[slot], table.Owners[slot] = 1, 0
		}
	}, func(*api.Settings) {})
	proxy, _ := start(t, view, auto)
	for range 20 {
		if answer, body := ask(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"); answer.StatusCode != 200 || body != "hello" {
			t.Fatalf("%s %q", answer.Status, body)
		}
	}
	if asked.Load() != 20 || proxy.metrics.moved.Load() != 20 || proxy.muxed.Stats.Requests.Load() == 0 {
		t.Errorf("%d were asked, %d moved, %d by mux", asked.Load(), proxy.metrics.moved.Load(), proxy.muxed.Stats.Requests.Load())
	}
}

// TestMuxDeclined: a node of HTTP/1.1 is served as ever; with mux off it is not even asked.
func TestMuxDeclined(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), auto)
	until(t, "the end of the offer", func() bool {
		served(t, proxy, getA, "ok")
		return proxy.muxed.Stats.Declines.Load() == 1
	})
	served(t, proxy, getA, "ok")
	offers := 0
	for len(node.requests) > 0 {
		if strings.Contains(node.next(t).raw, "Upgrade: stead-mux/1") {
			offers++
		}
	}
	if offers != 1 {
		t.Errorf("%d offers", offers)
	}
	plain, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.Mux = MuxOff })
	served(t, plain, getA, "ok")
	if request := node.next(t); strings.Contains(request.raw, "stead-mux") || len(node.requests) > 0 {
		t.Errorf("the node got %q, and %d more", request.raw, len(node.requests))
	}
}

// TestMuxKilled: a node that goes away under a request leaves a 502 with Retry-After.
func TestMuxKilled(t *testing.T) {
	arrived := make(chan struct{})
	streams := mux.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			close(arrived)
			<-r.Context().Done()
		}
	}), discard)
	server := httptest.NewServer(streams)
	defer server.Close()
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", server.Listener.Addr().String())), auto)
	meet(t, proxy)
	go func() {
		select {
		case <-arrived:
		case <-time.After(patience):
		}
		streams.Close()
	}()
	answer, _ := ask(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
	if answer.StatusCode != 502 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
	}
}

// TestMuxByNode: connections and requests of stead-mux count for their node.
func TestMuxByNode(t *testing.T) {
	address := startMuxed(t, func(http.ResponseWriter, *http.Request) {})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), auto)
	meet(t, proxy)
	_, _ = talkOnce(t, proxy)
	counts, muxed, plain := proxy.metrics.nodes.of("n1"), &proxy.muxed.Stats, &proxy.nodes.Stats
	if got, want := counts.transport.Connects.Load(), muxed.Connects.Load()+plain.Connects.Load(); got != want || muxed.Connects.Load() != 1 {
		t.Errorf("%d connections count for the node, of %d", got, want)
	}
	if got, want := counts.transport.Reuses.Load(), muxed.Requests.Load()+plain.Reuses.Load(); got != want || muxed.Requests.Load() < 2 {
		t.Errorf("%d requests on such connections count for the node, of %d", got, want)
	}
}
