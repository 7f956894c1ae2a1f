package dataplane

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/routing"
)

// get fetches a path of the admin port.
func get(t *testing.T, proxy *Proxy, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + proxy.AdminAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

func TestAdmin(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ringOf(t, 4, 7, up("n1", node.address()))
	proxy, fake := start(t, nil, func(c *Config) { c.FirstWait = 10 * time.Millisecond })
	f := func(path string, wantStatus int, wants ...string) {
		t.Helper()
		status, body := get(t, proxy, path)
		if status != wantStatus {
			t.Errorf("%s: %d %s", path, status, body)
		}
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %s: %s", path, want, body)
			}
		}
	}
	f("/livez", 200, "ok")
	f("/readyz", 503, "no_ring")
	f("/v1/ring", 503, "no_ring")
	f("/v1/route?key=a", 503, "no_ring")
	fake.publish(view)
	<-proxy.routes.Arrived()
	f("/readyz", 200, "ok")
	f("/v1/ring", 200, `"number":4`, `"id":"n1"`)
	f("/v1/route?key=%00", 200, `"key_hex":"00"`)
	f("/v1/route?key_hex=zz", 400, "invalid")
	f("/v1/route", 400, "invalid")
	f("/v1/route?key=", 400, "bad_key")
	f("/v1/nothing", 404, "not_found")

	_, body := get(t, proxy, "/v1/route?key=acme")
	var location api.Location
	if err := json.Unmarshal([]byte(body), &location); err != nil {
		t.Fatal(err)
	}
	slot, epoch, _, _ := view.Locate([]byte("acme"))
	if location.Key != "acme" || location.KeyHex != "61636d65" || location.Slot != slot || location.Epoch != epoch ||
		len(location.Replicas) != 1 || location.Replicas[0].ID != "n1" || location.Version.Number != 4 {
		t.Errorf("%+v", location)
	}

	served(t, proxy, getA, "ok")
	served(t, proxy, getA, "ok")
	refused(t, proxy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "no_key")
	until(t, "the end of all requests", func() bool { return proxy.metrics.inFlight.Load() == 0 })
	f("/metrics", 200,
		`stead_proxy_requests_total{code="2xx",problem=""} 2`,
		`stead_proxy_requests_total{code="4xx",problem="no_key"} 1`,
		"stead_proxy_request_duration_seconds_count 3",
		"stead_proxy_upstream_connects_total 1", "stead_proxy_upstream_reuses_total 1",
		"stead_proxy_upstream_retries_total 0", "stead_proxy_upstream_moved_total 0",
		"stead_proxy_requests_in_flight 0", "stead_proxy_ring_version 4", "stead_proxy_ring_age_seconds ")
}

func TestBeats(t *testing.T) {
	view := ringOf(t, 1, 1, up("n1", "127.0.0.1:1"))
	proxy, fake := start(t, view, func(c *Config) { c.KeyRules = testRules })
	fake.awaitBeat(t, func(beat api.ProxyBeat) bool {
		return beat.Address == proxy.Addr() && beat.Admin == proxy.AdminAddr() && beat.Version.Number == 1 && beat.Nack == "" && !beat.Leaving
	})
	// A ring with other rules is refused and told, and ends the proxy: to route on by the old ones
	// would split keys' state between proxies.
	fake.publish(viewOf(t, 2, func(*ring.Table) {}, func(settings *api.Settings) { settings.Keys = []string{"query:other"} }))
	fake.awaitBeat(t, func(beat api.ProxyBeat) bool {
		return beat.Version.Number == 1 && strings.Contains(beat.Nack, "query:other")
	})
	<-proxy.Done()
	if !errors.Is(proxy.Err(), routing.ErrOtherRules) {
		t.Errorf("it ended with %v", proxy.Err())
	}
}

func TestOpenRefuses(t *testing.T) {
	view := ringOf(t, 1, 1)
	f := func(view *ring.View, edit func(*Config), want error) {
		t.Helper()
		config := NewConfig()
		config.Listen, config.AdminListen, config.Logger = "127.0.0.1:0", "127.0.0.1:0", discard
		edit(&config)
		proxy, err := open(config, newFakeControl(view))
		if err == nil {
			_ = proxy.Close(t.Context())
		}
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	f(view, func(c *Config) { c.KeyRules = []string{"query:other"} }, routing.ErrOtherRules)
	f(view, func(c *Config) { c.Listen = "0.0.0.0:0" }, nil)
	f(view, func(c *Config) { c.AdminListen = "0.0.0.0:0" }, nil)
	f(viewOf(t, 1, func(*ring.Table) {}, func(settings *api.Settings) { settings.Keys = []string{"claim:a"} }), func(*Config) {}, routing.ErrUnknownRules)

	for name, edit := range map[string]func(*Config){
		"id": func(c *Config) { c.ID = "a b" }, "listen": func(c *Config) { c.Listen = "8080" },
		"advertise": func(c *Config) { c.Advertise = "host" }, "unspecified": func(c *Config) { c.Listen = ":8080" },
		"admin": func(c *Config) { c.AdminListen = "x" }, "control": func(c *Config) { c.Control = nil },
		"rules": func(c *Config) { c.KeyRules = []string{"nothing"} }, "head": func(c *Config) { c.HeadMax = 100 },
		"body": func(c *Config) { c.BodyMax = -1 }, "deadline": func(c *Config) { c.Deadline = 0 },
		"connections": func(c *Config) { c.Connections = 0 }, "mux": func(c *Config) { c.Mux = "on" },
		"mux connections": func(c *Config) { c.MuxConnections = 0 },
	} {
		config := NewConfig()
		if err := config.Validate(); err != nil {
			t.Fatalf("the defaults: %v", err)
		}
		edit(&config)
		if config.Validate() == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// TestDrain: a proxy that leaves says so, finishes what is under way, and tells clients to go.
func TestDrain(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		close(arrived)
		select {
		case <-release:
		case <-t.Context().Done():
		}
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	})
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	busy, idle := dial(t, proxy), dial(t, proxy)
	_, _ = io.WriteString(busy, getA)
	<-arrived
	closed := make(chan error, 1)
	go func() { closed <- proxy.Close(t.Context()) }()
	fake.awaitBeat(t, func(beat api.ProxyBeat) bool { return beat.Leaving })
	if status, _ := get(t, proxy, "/readyz"); status != 503 {
		t.Errorf("readyz is %d", status)
	}
	until(t, "the end of the listener", func() bool {
		conn, err := net.DialTimeout("tcp", proxy.Addr(), 20*time.Millisecond) // while it is about to end, nobody answers
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	// An idle client has a moment for one more request, and learns from its answer.
	_, _ = io.WriteString(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if response, _ := readAnswer(t, bufio.NewReader(idle)); !response.Close {
		t.Error("an answer while draining does not close the connection")
	}
	select {
	case err := <-closed:
		t.Fatalf("closed with a request under way: %v", err)
	case <-time.After(2 * 250 * time.Millisecond):
	}
	close(release)
	if response, body := readAnswer(t, bufio.NewReader(busy)); response.StatusCode != 200 || body != "ok" || !response.Close {
		t.Errorf("the request under way got %s %q, close %v", response.Status, body, response.Close)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	<-proxy.Done()
	if proxy.Err() != nil {
		t.Error(proxy.Err())
	}
}

// TestDrainBehindLongAnswers: clients whose answer had begun before the proxy began to drain, and who keep their
// connection, do not hold it up once that has ended.
func TestDrainBehindLongAnswers(t *testing.T) {
	release := make(chan struct{})
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		_, _ = io.WriteString(conn, okAnswer[:len(okAnswer)-1])
		select {
		case <-release:
		case <-t.Context().Done():
		}
		_, err := io.WriteString(conn, "k")
		return err == nil
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	busy, idle := dial(t, proxy), dial(t, proxy)
	_, _ = io.WriteString(busy, getA)
	if _, err := io.ReadFull(busy, make([]byte, len(okAnswer)-1)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- proxy.Close(t.Context()) }()
	if got, over := listen(t, idle); got != "" || !over { // and with it the moment for idle clients
		t.Fatalf("the idle client got %q, closed %v", got, over)
	}
	close(release)
	if got, err := io.ReadAll(busy); string(got) != "k" || err != nil {
		t.Fatalf("the rest of the answer is %q, its end %v", got, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestNobodyIsLostAtTheDoor: while a proxy stops, a client's connection is refused or gets its answer; none
// is accepted by the kernel and then reset.
func TestNobodyIsLostAtTheDoor(t *testing.T) {
	var clients sync.WaitGroup
	for range 20 {
		var answered atomic.Int64
		proxy, _ := start(t, ringOf(t, 1, 1))
		for range 8 {
			clients.Go(func() {
				for {
					conn, err := net.Dial("tcp", proxy.Addr())
					if errors.Is(err, syscall.ECONNREFUSED) {
						return
					} else if err != nil {
						t.Errorf("cannot connect: %v", err)
						return
					}
					_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
					if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
						t.Errorf("connected, and got no answer: %v", err)
					}
					answered.Add(1)
					_ = conn.Close()
				}
			})
		}
		until(t, "clients that are at it", func() bool { return answered.Load() > 50 })
		if err := proxy.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
}

// TestDrainDelay: a proxy that has said that it leaves serves new clients for a while, then stops; the end
// of the context cuts the while short.
func TestDrainDelay(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	const delay = 300 * time.Millisecond
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.DrainDelay = delay })
	begun := time.Now()
	closed := make(chan error, 1)
	go func() { closed <- proxy.Close(context.Background()) }()
	fake.awaitBeat(t, func(beat api.ProxyBeat) bool { return beat.Leaving })
	served(t, proxy, getA, "ok")
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("stopped after %v", took)
	}

	hurried, _ := start(t, ringOf(t, 1, 1), func(c *Config) { c.DrainDelay = time.Hour })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_ = hurried.Close(ctx) // the admin port may say that it was hurried
}

// TestForcedDrain: what does not finish in time is given up.
func TestForcedDrain(t *testing.T) {
	node := startNode(t, func(net.Conn, int, received) bool { return true }) // silence
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, getA)
	node.next(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := proxy.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if got, _ := listen(t, conn); strings.Contains(got, "200") {
		t.Errorf("the client got %q", got)
	}
}

// TestStartsFromDisk: a proxy without a control plane routes by the last ring it had.
func TestStartsFromDisk(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	folder := t.TempDir()
	first, _ := start(t, ringOf(t, 5, 1, up("n1", node.address())), func(c *Config) { c.DataDir = folder })
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, fake := start(t, nil, func(c *Config) { c.DataDir, c.FirstWait = folder, 10*time.Millisecond })
	served(t, second, getA, "ok")
	fake.publish(ringOf(t, 6, 6, up("n1", node.address())))
	until(t, "ring 6", func() bool { return second.routes.Table().View.Table.Version.Number == 6 })
}

// TestRulesChangeWithTheTable: each request sees one ring, rules and slots together.
func TestRulesChangeWithTheTable(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	served(t, proxy, getA, "ok")
	fake.publish(viewOf(t, 2, func(table *ring.Table) {
		*table = *ringOf(t, 2, 2, up("n1", node.address())).Table
	}, func(settings *api.Settings) { settings.Keys = []string{"query:user"} }))
	until(t, "ring 2", func() bool { return proxy.routes.Table().View.Table.Version.Number == 2 })
	refused(t, proxy, getA, 400, "no_key")
	served(t, proxy, "GET /kv/a?user=b HTTP/1.1\r\nHost: h\r\n\r\n", "ok")
	node.next(t)
	if request := node.next(t); !strings.Contains(request.raw, "Stead-Key: b\r\n") {
		t.Errorf("the node received %q", request.raw)
	}
}

// TestConnectionsLimit: clients over the limit get an answer.
func TestConnectionsLimit(t *testing.T) {
	proxy, _ := start(t, ringOf(t, 1, 1), func(c *Config) { c.Connections = 1 })
	first := dial(t, proxy)
	_, _ = io.WriteString(first, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	readAnswer(t, bufio.NewReader(first))
	if got, closed := listen(t, dial(t, proxy)); !strings.HasPrefix(got, "HTTP/1.1 503") || !closed {
		t.Errorf("got %q, closed %v", got, closed)
	}
	metric(t, proxy, "stead_proxy_connections 1")
	metric(t, proxy, "stead_proxy_connections_turned_away_total 1")
}
