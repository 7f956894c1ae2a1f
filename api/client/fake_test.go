package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testCluster  = api.ClusterID("00112233445566778899aabbccddeeff")
	otherCluster = api.ClusterID("ffeeddccbbaa99887766554433221100")
)

// inMemory answers requests by host without sockets, so that tests can run in a synctest bubble. A
// host without a handler refuses connections.
type inMemory map[string]http.HandlerFunc

func (m inMemory) RoundTrip(request *http.Request) (*http.Response, error) {
	handler := m[request.URL.Hostname()]
	if handler == nil {
		return nil, errors.New("connection refused")
	}
	recorder := httptest.NewRecorder()
	handler(recorder, request)
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// open makes a client of members that are asked in the order a, b, c.
func open(t *testing.T, members inMemory) *Client {
	t.Helper()
	var names []string
	for _, name := range []string{"a", "b", "c"} {
		if _, listed := members[name]; listed {
			names = append(names, name+":7400")
		}
	}
	client, err := newClient(Config{Members: names, Actor: "ann@desk"}, members)
	if err != nil {
		t.Fatal(err)
	}
	client.members.answered(0)
	return client
}

// dial makes a client of real servers, asked in order.
func dial(t *testing.T, servers ...*httptest.Server) *Client {
	t.Helper()
	var urls []string
	for _, server := range servers {
		urls = append(urls, server.URL)
	}
	client, err := New(Config{Members: urls})
	if err != nil {
		t.Fatal(err)
	}
	client.members.answered(0)
	t.Cleanup(client.Close)
	return client
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// hang is a member that takes the request and never answers.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// says answers JSON.
func says(value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeJSON)
		_ = json.NewEncoder(w).Encode(value)
	}
}

// text answers plainly, as something that is no control plane would.
func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// refuses answers with a problem.
func refuses(code api.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { api.NewProblem(code, "because").WriteTo(w) }
}

// counted counts what reaches a handler.
type counted struct {
	mu    sync.Mutex
	count int
}

func (c *counted) by(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.count++
		c.mu.Unlock()
		handler(w, r)
	}
}

// inTurn gives each request the next handler; the last stays.
func inTurn(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	next := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		handler := handlers[next]
		next = min(next+1, len(handlers)-1)
		mu.Unlock()
		handler(w, r)
	}
}

// viewAt is a ring of 256 slots whose slot n belongs to n1 at version n and to n2 otherwise, so that
// any two versions differ.
func viewAt(t *testing.T, cluster api.ClusterID, version api.Version) *ring.View {
	t.Helper()
	table := ring.NewTable(cluster, api.SlotBitsMin, 1)
	table.Version = version
	if version.Number > 0 {
		table.Previous = version.Number - 1
	}
	table.Nodes = []ring.Node{
		{ID: "n1", Address: "127.0.0.1:7500", Status: ring.StatusUp},
		{ID: "n2", Address: "127.0.0.1:7501", Status: ring.StatusUp},
	}
	for slot := range table.Owners {
		table.Owners[slot], table.Epochs[slot] = 1, 1
	}
	table.Owners[version.Number%256] = 0
	view, err := ring.NewView(api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("5a", 16),
	}, table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// full answers with a whole ring.
func full(view *ring.View) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeRing+api.TypeVersion)
		w.Header().Set(api.HeaderCluster, string(view.Table.Cluster))
		_, _ = w.Write(view.Encode())
	}
}

// delta answers with what changed.
func delta(from, to *ring.View) http.HandlerFunc {
	return deltaOf(ring.Between(from.Table, to.Table).Wire(nil))
}

func deltaOf(wire *api.RingDelta) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeRingDelta+api.TypeVersion)
		_ = json.NewEncoder(w).Encode(wire)
	}
}

// member serves GET /v1/ring: polls by after, fetches without.
func member(fetches http.HandlerFunc, polls map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		switch handler := polls[after]; {
		case after == "" && r.Header.Get("Accept") == api.TypeRing:
			fetches(w, r)
		case handler != nil && r.Header.Get("Accept") == pollTypes:
			handler(w, r)
		default:
			hang(w, r)
		}
	}
}

// watched collects the versions a watch hands out until there are enough, or the time is up.
func watched(t *testing.T, client *Client, have *ring.View, enough int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*pollWait)
	defer cancel()
	var versions []string
	err := client.Watch(ctx, have, func(view *ring.View) {
		versions = append(versions, view.Table.Version.String())
		if len(versions) == enough {
			cancel()
		}
	})
	if !errors.Is(err, ctx.Err()) || err == nil {
		t.Errorf("Watch returned %v, want the context's error", err)
	}
	return versions
}
