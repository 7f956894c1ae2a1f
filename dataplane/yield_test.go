package dataplane

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
)

// TestYield: two proxies share their sockets for a moment. Nobody is refused, reset or left without an answer, the
// fleet never hears that the first one leaves, and the second one keeps the ring on disk.
func TestYield(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	folder := t.TempDir()
	edit := func(c *Config) { c.DataDir = folder }
	first, firstFleet := start(t, ringOf(t, 1, 1, up("n1", node.address())), edit)
	idle := dial(t, first)
	load := startVisitors(t, first.Addr(), 8)
	load.await(100)
	clients, admin, err := first.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	second, secondFleet := start(t, ringOf(t, 2, 1, up("n1", node.address())), edit, func(c *Config) {
		c.ID, c.Predecessor = "", &Predecessor{ID: first.ID(), Clients: clients, Admin: admin}
	})
	first.Yield()
	closed := make(chan error, 1)
	go func() { closed <- first.Close(t.Context()) }()
	load.await(300)
	until(t, "the first proxy to have told the visitors to leave", func() bool { return first.server.Clients() == 1 })
	load.end()
	_, _ = io.WriteString(idle, getA) // it is the first one's still, and learns with its answer to leave
	if got, closed := listen(t, idle); !strings.Contains(got, "200 OK") || !strings.Contains(got, "Connection: close") || !closed {
		t.Errorf("the idle client got %q, closed %v", got, closed)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if second.ID() != first.ID() || second.Addr() != first.Addr() || second.AdminAddr() != first.AdminAddr() {
		t.Errorf("%s at %s, %s took over from %s at %s, %s", second.ID(), second.Addr(), second.AdminAddr(), first.ID(), first.Addr(), first.AdminAddr())
	}
	for _, fleet := range []*fakeControl{firstFleet, secondFleet} {
		for _, beat := range fleet.heard() {
			if beat.Leaving || beat.Address != first.Addr() {
				t.Errorf("the fleet heard %+v", beat)
			}
		}
	}
	if status, body := get(t, second, "/v1/ring"); status != 200 || !strings.Contains(body, `"number":2`) {
		t.Errorf("the admin port answers %d %s", status, body)
	}
}

// TestYieldUndone: where the heir does not come up, the proxy goes on, and keeps the ring on disk again.
func TestYieldUndone(t *testing.T) {
	folder := t.TempDir()
	node := startNode(t, answer(okAnswer))
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.DataDir = folder })
	clients, admin, err := proxy.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	config := NewConfig()
	config.Logger, config.FirstWait = discard, 10*time.Millisecond
	config.Predecessor = &Predecessor{ID: proxy.ID(), Clients: clients, Admin: admin}
	if _, err := open(config, newFakeControl(nil)); !errors.Is(err, errRingless) {
		t.Fatalf("got %v", err)
	}
	fake.publish(ringOf(t, 2, 1, up("n1", node.address())))
	until(t, "ring 2", func() bool { return proxy.routes.Table().View.Table.Version.Number == 2 })
	proxy.Keep()
	served(t, proxy, getA, "ok")
	if err := proxy.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, _ := start(t, nil, func(c *Config) { c.DataDir, c.FirstWait = folder, 10*time.Millisecond })
	if got := again.routes.Table().View.Table.Version.Number; got != 2 {
		t.Errorf("ring %d was on disk", got)
	}
}

// TestYieldAnswersAdmin: who has connected to the admin port before another proxy took over is answered.
func TestYieldAnswersAdmin(t *testing.T) {
	view := ringOf(t, 1, 1, up("n1", "127.0.0.1:1"))
	first, _ := start(t, view)
	early, err := net.Dial("tcp", first.AdminAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = early.Close() }()
	until(t, "the connection to be accepted", func() bool {
		first.asking.mu.Lock()
		defer first.asking.mu.Unlock()
		return len(first.asking.conns) == 1
	})
	clients, admin, err := first.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	start(t, view, func(c *Config) { c.Predecessor = &Predecessor{ID: first.ID(), Clients: clients, Admin: admin} })
	first.Yield()
	closed := make(chan error, 1)
	go func() { closed <- first.Close(t.Context()) }()
	until(t, "the first proxy to have left the admin port", func() bool {
		copied, err := transport.Socket(first.adminDoor)
		_ = copied.Close()
		return err != nil
	})
	_, _ = io.WriteString(early, "GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if got, _ := listen(t, early); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("it got %q", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
