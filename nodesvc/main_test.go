package nodesvc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testCluster  = api.ClusterID("00112233445566778899aabbccddeeff")
	otherCluster = api.ClusterID("ffeeddccbbaa99887766554433221100")
	testHashKey  = "000102030405060708090a0b0c0d0e0f"
)

func testSettings() api.Settings {
	return api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: testHashKey,
	}
}

// testView is a ring of nodes n0 and n1 at one version, every slot at the same epoch and with the
// same owner, "" for none.
func testView(t testing.TB, version uint64, epoch api.Epoch, owner api.NodeID) *ring.View {
	t.Helper()
	return testViewOf(t, testSettings(), testCluster, version, epoch, owner)
}

func testViewOf(t testing.TB, settings api.Settings, cluster api.ClusterID, version uint64, epoch api.Epoch, owner api.NodeID) *ring.View {
	t.Helper()
	table := ring.NewTable(cluster, ring.Bits(settings.SlotBits), settings.Replicas)
	table.Version = api.Version{Generation: 1, Number: version}
	table.Nodes = []ring.Node{
		{ID: "n0", Address: "127.0.0.1:1", Status: ring.StatusUp},
		{ID: "n1", Address: "127.0.0.1:2", Status: ring.StatusUp},
	}
	for slot := range table.Epochs {
		table.Epochs[slot] = epoch
		table.Owners[slot] = table.IndexOf(owner)
	}
	view, err := ring.NewView(settings, table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// fakeControl is a control plane that keeps no rules: tests script what it answers.
type fakeControl struct {
	mu            sync.Mutex
	onRegister    func(api.Registration) error
	onBeat        func(api.Beat) error
	onDrain       func() error
	maintenance   *time.Time // until when the node's absence is expected
	calls         []string
	registrations []api.Registration
	beats         []api.Beat
	wantsReport   bool
	onReport      func() error
	reports       []*ring.View
	view          *ring.View
	published     chan struct{}

	cursor      api.SlotCursor     // of registrations
	onFeed      func(api.SlotFeed) // of the node's watch; nil: there is none yet
	feeds       []api.SlotFeed     // told to a watch that begins
	onPropose   func(api.SlotProposals) (api.SlotVerdicts, error)
	slotReports []api.SlotReport
}

var errAway = errors.New("no control-plane member answered")

func newFakeControl(view *ring.View) *fakeControl {
	return &fakeControl{view: view, published: make(chan struct{})}
}

// script changes what the control plane answers from here on.
func (f *fakeControl) script(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// registered and beaten return what was sent so far.
func (f *fakeControl) registered() []api.Registration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.registrations)
}

func (f *fakeControl) beaten() []api.Beat {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.beats)
}

// history lists the calls so far; beats in a row count once.
func (f *fakeControl) history() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(slices.Compact(slices.Clone(f.calls)), " ")
}

func (f *fakeControl) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := 0
	for _, made := range f.calls {
		if made == call {
			count++
		}
	}
	return count
}

func (f *fakeControl) publish(view *ring.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = view
	close(f.published)
	f.published = make(chan struct{})
}

func (f *fakeControl) Register(ctx context.Context, registration api.Registration) (api.Registered, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "register")
	f.registrations = append(f.registrations, registration)
	if f.onRegister != nil {
		if err := f.onRegister(registration); err != nil {
			return api.Registered{}, err
		}
	}
	session := api.SessionID(fmt.Sprintf("s%d", len(f.registrations)))
	answer := api.Registered{Session: session, BeatEvery: api.Duration(api.NodeBeatInterval), Report: f.wantsReport, Cursor: f.cursor}
	if f.view != nil {
		answer.Version = f.view.Table.Version
	}
	return answer, ctx.Err()
}

func (f *fakeControl) Report(_ context.Context, _ api.NodeID, _ api.SessionID, view *ring.View) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "report")
	f.reports = append(f.reports, view)
	if f.onReport != nil {
		return f.onReport()
	}
	return nil
}

func (f *fakeControl) ReportSlots(_ context.Context, _ api.NodeID, report api.SlotReport) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "report")
	f.slotReports = append(f.slotReports, report)
	if f.onReport != nil {
		return f.onReport()
	}
	return nil
}

func (f *fakeControl) ProposeSlots(_ context.Context, proposals api.SlotProposals) (api.SlotVerdicts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.onPropose(proposals)
}

func (f *fakeControl) WatchSlots(ctx context.Context, onFeed func(api.SlotFeed)) error {
	f.mu.Lock()
	for _, feed := range f.feeds {
		onFeed(feed)
	}
	f.onFeed = onFeed
	f.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// tell has the node hear of slots, now if it watches them.
func (f *fakeControl) tell(feed api.SlotFeed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feeds = append(f.feeds, feed)
	if f.onFeed != nil {
		f.onFeed(feed)
	}
}

func (f *fakeControl) Beat(ctx context.Context, _ api.NodeID, beat api.Beat) (api.Beaten, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call := "beat"
	switch {
	case beat.Leaving:
		call = "leaving"
	case beat.Unhealthy != "":
		call = "unhealthy"
	}
	f.calls = append(f.calls, call)
	f.beats = append(f.beats, beat)
	if f.onBeat != nil {
		return api.Beaten{}, f.onBeat(beat)
	}
	return api.Beaten{}, ctx.Err()
}

func (f *fakeControl) Node(ctx context.Context, id api.NodeID) (api.Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return api.Node{Registration: api.Registration{ID: id}, Maintenance: f.maintenance}, ctx.Err()
}

func (f *fakeControl) Drain(context.Context, api.NodeID) (api.Changed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "drain")
	if f.onDrain != nil {
		return api.Changed{}, f.onDrain()
	}
	return api.Changed{}, nil
}

func (f *fakeControl) Remove(context.Context, api.NodeID, bool) (api.Changed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "remove")
	return api.Changed{}, nil
}

func (f *fakeControl) Watch(ctx context.Context, have *ring.View, onView func(*ring.View)) error {
	for {
		f.mu.Lock()
		view, published := f.view, f.published
		f.mu.Unlock()
		if view != nil && (have == nil || view.Table.Version.Compare(have.Table.Version) > 0) {
			have = view
			onView(view)
		}
		select {
		case <-published:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func testConfig(control ControlPlane) Config {
	config := NewConfig()
	config.ID = "n0"
	config.Advertise = "127.0.0.1:1"
	config.ControlPlane = control
	return config
}

func openNode(t *testing.T, config Config) *Node {
	t.Helper()
	node, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func closeNode(t *testing.T, node *Node) {
	t.Helper()
	if err := node.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}
