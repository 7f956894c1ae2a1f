package nodesvc_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// room is a node of the counters service, served as it would be.
type room struct {
	*nodesvc.Node
	service *counters
	server  *http.Server
	address string
}

func openRoom(t *testing.T, id api.NodeID, control nodesvc.ControlPlane, folder string) *room {
	t.Helper()
	config := nodesvc.NewConfig()
	listener, err := config.Security.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := &counters{counts: make(map[api.Slot]map[string]int)}
	config.ID, config.Advertise, config.ControlPlane = id, listener.Addr().String(), control
	config.Service, config.DataDir = service, folder
	config.DiskReserve = 1 // tests run on what disks there are
	if service.node, err = nodesvc.Open(config); err != nil {
		t.Fatal(err)
	}
	r := &room{Node: service.node, service: service, address: config.Advertise}
	r.server = nodesvc.NewServer(r.Guard(http.HandlerFunc(service.Visit)), slog.New(slog.DiscardHandler)).Server
	go func() { _ = r.server.Serve(listener) }()
	return r
}

func (r *room) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := r.Leave(ctx); err != nil {
		t.Errorf("%s: %v", r.ID(), err)
	}
	if err := r.server.Shutdown(ctx); err != nil {
		t.Errorf("%s: %v", r.ID(), err)
	}
	if err := r.Close(ctx); err != nil {
		t.Errorf("%s: %v", r.ID(), err)
	}
}

// count is what a node counts for a key.
func (c *counters) count(key string) (count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, counts := range c.counts {
		count += counts[key]
	}
	return count
}

// visitor asks a cluster as a proxy does: it goes where a 421 sends it.
type visitor struct {
	transport http.Transport
	rooms     map[api.NodeID]string
	at        api.NodeID
	errors    []string
}

// visit returns the count, and waits while no node serves the key.
func (v *visitor) visit(t *testing.T, key string) (count int) {
	t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+v.rooms[v.at], nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(api.HeaderKey, key)
		answer, err := v.transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		owner := api.NodeID(answer.Header.Get(api.HeaderOwner))
		switch {
		case answer.StatusCode == http.StatusOK:
			_, _ = fmt.Sscan(string(body), &count)
			return count
		case answer.StatusCode == http.StatusMisdirectedRequest && owner != "":
			v.at = owner
		default:
			v.errors = append(v.errors, string(body))
			time.Sleep(10 * time.Millisecond) // Retry-After, in small
		}
	}
	t.Fatalf("nobody served %s: %q", key, v.errors[max(0, len(v.errors)-3):])
	return 0
}

// TestReplicasTakeOver: what one node counted its replica goes on counting, after an orderly leave in which no
// visit fails; and a store that comes back has all of it.
func TestReplicasTakeOver(t *testing.T) {
	control := newCouncil(2)
	folder := t.TempDir()
	one, two := openRoom(t, "n1", control, folder), openRoom(t, "n2", control, "")
	v := &visitor{rooms: map[api.NodeID]string{"n1": one.address, "n2": two.address}, at: "n1"}
	defer v.transport.CloseIdleConnections()
	keys := []string{"acme", "umbrella", "initech"}
	for _, key := range keys {
		v.visit(t, key)
	}
	v.errors = nil
	var closed atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		one.close(t)
		closed.Store(true)
	}()
	visits := 1
	for left := 20; left > 0; visits++ {
		for _, key := range keys {
			if count := v.visit(t, key); count != visits+1 {
				t.Fatalf("visit %d of %s was counted %d", visits+1, key, count)
			}
		}
		if closed.Load() {
			left--
		}
	}
	<-done
	if len(v.errors) > 0 {
		t.Errorf("%d visits failed on the way, such as %s", len(v.errors), v.errors[0])
	}
	if got := two.service.count("acme"); v.at != "n2" || got != visits {
		t.Errorf("at %s, n2 counts %d of %d", v.at, got, visits)
	}
	two.close(t)
}
