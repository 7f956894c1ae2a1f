package kv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/nodesvc"
)

// brokenEngine is set where an engine is broken that cannot be closed any more, and leaves its goroutines.
const brokenEngine = "STEAD_TEST_BROKEN_ENGINE"

// TestMain also is the process that TestCrash kills.
func TestMain(m *testing.M) {
	if os.Getenv(brokenEngine) != "" {
		os.Exit(m.Run())
	}
	if folder := os.Getenv(crashFolder); folder != "" {
		serveUntilKilled(folder)
		return
	}
	goleak.VerifyTestMain(m)
}

func testSettings() api.Settings {
	return api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: "000102030405060708090a0b0c0d0e0f",
	}
}

// soloRing is the ring of a cluster where node n0 holds every slot.
func soloRing(settings api.Settings, cluster api.ClusterID) (*ring.View, error) {
	table := ring.NewTable(cluster, ring.Bits(settings.SlotBits), settings.Replicas)
	table.Version = api.Version{Generation: 1, Number: 1}
	table.Nodes = []ring.Node{{ID: "n0", Address: "127.0.0.1:1", Status: ring.StatusUp}}
	for slot := range table.Epochs {
		table.Epochs[slot], table.Owners[slot] = 5, 0
	}
	return ring.NewView(settings, table)
}

// soloControl is a control plane of that cluster.
type soloControl struct {
	view       *ring.View
	once       sync.Once
	registered chan struct{} // closed at the first registration
}

func newSoloControl() *soloControl {
	view, err := soloRing(testSettings(), "00112233445566778899aabbccddeeff")
	if err != nil {
		panic(err)
	}
	return &soloControl{view: view, registered: make(chan struct{})}
}

func (c *soloControl) Register(context.Context, api.Registration) (api.Registered, error) {
	c.once.Do(func() { close(c.registered) })
	return api.Registered{Session: "s1"}, nil
}

func (c *soloControl) Beat(context.Context, api.NodeID, api.Beat) (api.Beaten, error) {
	return api.Beaten{}, nil
}

func (c *soloControl) Report(context.Context, api.NodeID, api.SessionID, *ring.View) error {
	return nil
}

func (*soloControl) Node(context.Context, api.NodeID) (api.Node, error) { return api.Node{}, nil }

func (*soloControl) ReportSlots(context.Context, api.NodeID, api.SlotReport) error { return nil }

func (*soloControl) ProposeSlots(context.Context, api.SlotProposals) (api.SlotVerdicts, error) {
	return api.SlotVerdicts{}, nil
}

func (*soloControl) WatchSlots(ctx context.Context, _ func(api.SlotFeed)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *soloControl) Drain(context.Context, api.NodeID) (api.Changed, error) {
	return api.Changed{}, nil
}

func (c *soloControl) Remove(context.Context, api.NodeID, bool) (api.Changed, error) {
	return api.Changed{}, nil
}

func (c *soloControl) Watch(ctx context.Context, _ *ring.View, onView func(*ring.View)) error {
	onView(c.view)
	<-ctx.Done()
	return ctx.Err()
}

func testConfig(control nodesvc.ControlPlane, folder string) Config {
	config := NewConfig()
	config.Listen = "127.0.0.1:0"
	config.Node.ID = "n0"
	config.Node.ControlPlane = control
	config.Node.DataDir = folder
	config.Store = StoreDisk
	if folder == "" {
		config.Store = StoreMemory
	}
	return config
}

// openServer opens a node that holds every slot, registered and ready; folder "" is a memory store.
func openServer(t testing.TB, folder string) *Server {
	t.Helper()
	control := newSoloControl()
	server, err := Open(testConfig(control, folder))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	select {
	case <-control.registered:
	case <-server.Done():
		t.Fatal(server.Err())
	}
	if err := awaitSlots(server); err != nil {
		t.Fatal(err)
	}
	return server
}

// awaitSlots waits until the node has opened its slots.
func awaitSlots(server *Server) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got, err := try(server, "GET", "/kv/none", nil, api.HeaderKey+": acme")
		if err == nil && got.status == http.StatusNotFound {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the node does not serve its slots: %v, %w", got, err)
		}
	}
}

// onBothStores runs a test against each kind of store.
func onBothStores(t *testing.T, test func(t *testing.T, server *Server)) {
	t.Run("memory", func(t *testing.T) { test(t, openServer(t, "")) })
	t.Run("disk", func(t *testing.T) { test(t, openServer(t, t.TempDir())) })
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request for path with the sharding key acme; header lists "Name: value" lines.
func do(t testing.TB, server *Server, method, path, body string, header ...string) answer {
	t.Helper()
	got, err := try(server, method, path, strings.NewReader(body), append(header, api.HeaderKey+": acme")...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func try(server *Server, method, path string, body io.Reader, header ...string) (answer, error) {
	request, err := http.NewRequest(method, "http://"+server.Addr()+path, body)
	if err != nil {
		return answer{}, err
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}
	got, err := transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	return answer{status: got.StatusCode, header: got.Header, body: string(content)}, err
}

// expect fails the test unless the answer has the status and, for an error, the problem code.
func expect(t testing.TB, what string, got answer, status int, code api.Code) {
	t.Helper()
	if got.status != status || code != "" && !strings.Contains(got.body, fmt.Sprintf(`"code":%q`, code)) {
		t.Errorf("%s: %d %.200s, want %d %s", what, got.status, got.body, status, code)
	}
}
