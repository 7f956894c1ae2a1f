package mux_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
)

// TestDeclined: a node that knows nothing of mux is spoken to in HTTP/1.1, and offered it once.
func TestDeclined(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	offers := make(chan string, 64)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			offers <- r.URL.Path
		}
		echo(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	ways := open(t, dialer, 2)
	to := forward.Target{Node: "n1", Address: listener.Addr().String()}
	for deadline := time.Now().Add(patience); ways.mux.Stats.Declines.Load() == 0 && time.Now().Before(deadline); {
		if _, body, err := fetch(ways.mux, to, get("/a")); body != "GET /a " || err != nil {
			t.Fatalf("got %q, %v", body, err)
		}
	}
	for range 20 {
		_, _, _ = fetch(ways.mux, to, get("/a"))
	}
	if stats := &ways.mux.Stats; stats.Declines.Load() != 1 || stats.Requests.Load() != 0 || len(offers) != 1 {
		t.Errorf("%d offers, %d declines, %d requests by mux", len(offers), stats.Declines.Load(), stats.Requests.Load())
	}
}

// nowhere is a fallback that reaches no node.
type nowhere struct{}

func (nowhere) Send(forward.Target, *forward.Request) (forward.Answer, error) {
	return nil, &forward.Failure{Stage: forward.NotConnected, Err: errors.New("nothing listens")}
}

// TestShutdown: a server that stops loses no request; those under way are answered, later ones go elsewhere.
func TestShutdown(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(arrived)
			<-release
		}
		_, _ = io.WriteString(w, "whole")
	})
	ways := openOver(t, nowhere{})
	ways.meet(t, n.target())
	var clients sync.WaitGroup
	clients.Go(func() {
		if _, body, err := fetch(ways.mux, n.target(), get("/held")); body != "whole" || err != nil {
			t.Errorf("the request under way got %q, %v", body, err)
		}
	})
	await(t, arrived)
	for range 8 {
		clients.Go(func() {
			for {
				_, body, err := fetch(ways.mux, n.target(), post(t, "/", strings.NewReader("x"), 1))
				if stageOf(err) == forward.NotConnected {
					return // the node is gone, and has nothing of it
				}
				if body != "whole" || err != nil {
					t.Errorf("got %q, %v", body, err)
					return
				}
			}
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- n.Shutdown(t.Context()) }()
	select {
	case err := <-ended:
		t.Errorf("it ended with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	clients.Wait()

	// One that does not end in time is told.
	come, gone := make(chan struct{}), make(chan struct{})
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(come)
			<-r.Context().Done()
			close(gone)
		}
	})
	ways = muxed(t, other)
	go func() { _, _, _ = fetch(ways.mux, other.target(), get("/held")) }()
	await(t, come)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := other.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	await(t, gone)
}
