package sidecar

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// role is the environment variable that turns the test binary into a service, or into a sidecar
// with a service, for the tests that need real processes.
const role = "STEAD_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "service":
		serviceMain(os.Args[1], os.Args[2:])
	case "sidecar":
		sidecarMain(os.Args[1])
	default:
		goleak.VerifyTestMain(m)
	}
}

// serviceMain serves on address until SIGTERM, and says on stdout what happens to it.
func serviceMain(address string, traits []string) {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, syscall.SIGINT)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { os.Exit(7) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("slow begins")
		time.Sleep(300 * time.Millisecond)
		_, _ = io.WriteString(w, "slow answer")
		fmt.Println("slow ends")
	})
	go func() { _ = http.Serve(listener, mux) }()
	fmt.Println("service runs")
	for got := range terminated {
		fmt.Println("service got", got)
		if !slices.Contains(traits, "stubborn") {
			os.Exit(0)
		}
	}
}

// sidecarMain runs a sidecar with a service until it is killed.
func sidecarMain(address string) {
	if err := os.Setenv(role, "service"); err != nil {
		panic(err)
	}
	config := testConfig(newFakeControl(), address)
	config.Command = []string{os.Args[0], address}
	if _, err := Open(config); err != nil {
		panic(err)
	}
	select {}
}

// fakeControl is the control plane of a ring where node n0 holds every slot.
type fakeControl struct {
	view  *ring.View
	calls chan string // what was asked of it, each kind once in a row

	mu   sync.Mutex
	last string
}

func newFakeControl() *fakeControl {
	settings := api.Settings{
		Service: "any", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("0", 32),
	}
	table := ring.NewTable(api.ClusterID(strings.Repeat("0", 32)), ring.Bits(settings.SlotBits), 1)
	table.Version = api.Version{Generation: 1, Number: 1}
	table.Nodes = []ring.Node{{ID: "n0", Address: "127.0.0.1:1", Status: ring.StatusUp}}
	for slot := range table.Epochs {
		table.Epochs[slot], table.Owners[slot] = 5, 0
	}
	view, err := ring.NewView(settings, table)
	if err != nil {
		panic(err)
	}
	return &fakeControl{view: view, calls: make(chan string, 100)}
}

func (f *fakeControl) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if call != f.last {
		f.last = call
		f.calls <- call
	}
}

// await reads what is asked until it is call.
func (f *fakeControl) await(t *testing.T, call string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case got := <-f.calls:
			if got == call {
				return
			}
		case <-deadline:
			t.Fatalf("no %s came", call)
		}
	}
}

// drained lists what was asked and not read yet.
func (f *fakeControl) drained() string {
	var calls []string
	for {
		select {
		case call := <-f.calls:
			calls = append(calls, call)
		default:
			return strings.Join(calls, " ")
		}
	}
}

func (f *fakeControl) Register(context.Context, api.Registration) (api.Registered, error) {
	f.note("register")
	return api.Registered{Session: "s1", BeatEvery: api.Duration(20 * time.Millisecond)}, nil
}

func (f *fakeControl) Beat(_ context.Context, _ api.NodeID, beat api.Beat) (api.Beaten, error) {
	switch {
	case beat.Leaving:
		f.note("leaving")
	case beat.Unhealthy != "":
		f.note("unhealthy")
	default:
		f.note("beat")
	}
	return api.Beaten{}, nil
}

func (f *fakeControl) Report(context.Context, api.NodeID, api.SessionID, *ring.View) error {
	return nil
}

func (*fakeControl) ReportSlots(context.Context, api.NodeID, api.SlotReport) error { return nil }

func (*fakeControl) ProposeSlots(context.Context, api.SlotProposals) (api.SlotVerdicts, error) {
	return api.SlotVerdicts{}, nil
}

func (*fakeControl) WatchSlots(ctx context.Context, _ func(api.SlotFeed)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (*fakeControl) Node(context.Context, api.NodeID) (api.Node, error) { return api.Node{}, nil }

func (f *fakeControl) Drain(context.Context, api.NodeID) (api.Changed, error) {
	return api.Changed{}, nil
}

func (f *fakeControl) Remove(context.Context, api.NodeID, bool) (api.Changed, error) {
	return api.Changed{}, nil
}

func (f *fakeControl) Watch(ctx context.Context, _ *ring.View, onView func(*ring.View)) error {
	onView(f.view)
	<-ctx.Done()
	return ctx.Err()
}

func testConfig(control *fakeControl, upstream string) Config {
	config := NewConfig()
	config.Node.ID = "n0"
	config.Node.ControlPlane = control
	config.Listen = "127.0.0.1:0"
	config.Upstream = upstream
	config.HealthInterval = api.CheckIntervalMin
	return config
}

func openSidecar(t *testing.T, config Config) *Sidecar {
	t.Helper()
	sidecar, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSidecar(t, sidecar) })
	return sidecar
}

func closeSidecar(t *testing.T, sidecar *Sidecar) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := sidecar.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, address, path string, header ...string) answer {
	t.Helper()
	got, err := try(http.MethodGet, address, path, nil, header...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func try(method, address, path string, body io.Reader, header ...string) (answer, error) {
	request, err := http.NewRequest(method, "http://"+address+path, body)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set(api.HeaderKey, "acme")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	got, err := transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	return answer{status: got.StatusCode, header: got.Header, body: string(content)}, err
}
