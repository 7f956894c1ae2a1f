package nodesvc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication"
	"github.com/stead-io/stead/nodesvc/replication/peer"
)

// fakeEngine is an engine that keeps no rules: tests say how it stands to slots, and what becomes of updates.
type fakeEngine struct {
	mu         sync.Mutex
	config     replication.Config
	place      replication.Where // of every slot
	feeds      []api.SlotFeed
	registered []api.SlotCursor
	adopted    []api.SlotConfig
	former     []uint64 // generations that were begun
	linked     []peer.Hello
	calls      []string
	onUpdate   func() error // after propose; nil: it is carried out
	onRead     func(local bool) error
	onYield    func(context.Context) error
	onBackup   func(io.Writer) error
	restored   string
	failed     chan struct{}
}

func newFakeEngine(place replication.Place) *fakeEngine {
	return &fakeEngine{place: replication.Where{Place: place, Epoch: 5, Owner: "n1"}}
}

// stand changes how the engine stands to every slot.
func (f *fakeEngine) stand(place replication.Place, epoch api.Epoch, owner api.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.place.Moved)
	f.place = replication.Where{Place: place, Epoch: epoch, Owner: owner, Moved: make(chan struct{})}
}

func (f *fakeEngine) called(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
}

func (f *fakeEngine) Learn(feed api.SlotFeed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feeds = append(f.feeds, feed)
}

func (f *fakeEngine) Registered(cursor api.SlotCursor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registered = append(f.registered, cursor)
}

func (f *fakeEngine) Former(generation uint64) []api.SlotConfig {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.former = append(f.former, generation)
	return f.adopted
}

func (f *fakeEngine) Where(api.Slot) replication.Where {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.place
}

func (f *fakeEngine) Update(_ context.Context, _ api.Slot, _ []byte, propose func() ([]byte, error)) (any, error) {
	record, err := propose()
	if err == nil && f.onUpdate != nil {
		err = f.onUpdate()
	}
	return string(record), err
}

func (f *fakeEngine) Read(_ context.Context, _ api.Slot, read func() error, local bool) error {
	if f.onRead != nil {
		return f.onRead(local)
	}
	return read()
}

func (f *fakeEngine) Hold(_ context.Context, slot api.Slot, during func()) error {
	f.called(fmt.Sprintf("hold %d", slot))
	during()
	return nil
}

func (f *fakeEngine) Yield(ctx context.Context) error {
	f.called("yield")
	if f.onYield != nil {
		return f.onYield(ctx)
	}
	return nil
}

func (f *fakeEngine) Moves() api.Moves         { return api.Moves{Running: 3} }
func (f *fakeEngine) Stats() replication.Stats { return replication.Stats{Primaries: 7, LagRecords: 2} }
func (f *fakeEngine) Held() []replication.Holding {
	return []replication.Holding{{Slot: 1, Role: "backup"}}
}
func (f *fakeEngine) Digest(api.Slot) (ownership.Seq, [32]byte, error) {
	return 9, [32]byte{1, 2}, nil
}

func (f *fakeEngine) Backup(_ context.Context, _ api.Slot, begin func(api.Epoch, ownership.Seq) (io.Writer, error)) error {
	if f.Where(0).Place != replication.PlaceHere {
		return api.NewProblem(api.CodeNotOwner, "")
	}
	w, err := begin(5, 9)
	if err != nil {
		return err
	}
	return f.onBackup(w)
}

func (f *fakeEngine) Restore(_ context.Context, _ api.Slot, state io.Reader, over bool) error {
	if !over {
		return api.NewProblem(api.CodeConflict, "the slot is not empty")
	}
	whole, err := io.ReadAll(state)
	f.restored = string(whole)
	return err
}

func (f *fakeEngine) Failed() <-chan struct{} { return f.failed }
func (f *fakeEngine) Err() error              { return errors.New("the disk is gone") }
func (f *fakeEngine) Close() error            { f.called("close"); return nil }

func (f *fakeEngine) Linked(from peer.Hello) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linked = append(f.linked, from)
}
func (f *fakeEngine) Lost(peer.Hello)                   {}
func (f *fakeEngine) Receive(peer.Hello, uint8, []byte) {}

// open makes the engine's channels anew: those of a synctest bubble are its own.
func (f *fakeEngine) open(config replication.Config) (engine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config, f.failed, f.place.Moved = config, make(chan struct{}), make(chan struct{})
	return f, nil
}

// nothing is a Service without state.
type nothing struct{}

func (nothing) Apply(api.Slot, []byte) (any, error) { return nil, nil }
func (nothing) Snapshot(api.Slot, io.Writer) error  { return nil }
func (nothing) Restore(api.Slot, io.Reader) error   { return nil }
func (nothing) Drop(api.Slot) error                 { return nil }

func managedSettings() api.Settings {
	settings := testSettings()
	settings.State = api.StateManaged
	return settings
}

// engineConfig is of a node with an engine, in a cluster of managed state.
func engineConfig(t testing.TB, f *fakeEngine) (Config, *fakeControl) {
	control := newFakeControl(testViewOf(t, managedSettings(), testCluster, 7, 5, "n1"))
	config := testConfig(control)
	config.Service, config.openEngine = nothing{}, f.open
	return config, control
}

// TestEngineFollowsTheCluster: the node registers with its state, tells the engine its cursor and what the
// control plane says, and says in beats how far moves are.
func TestEngineFollowsTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceElsewhere)
		config, control := engineConfig(t, f)
		control.cursor = api.SlotCursor{Generation: 1, Index: 44}
		node := openNode(t, config)
		defer closeNode(t, node)
		time.Sleep(time.Second)
		control.tell(api.SlotFeed{Cluster: testCluster, Cursor: api.SlotCursor{Generation: 1, Index: 50}, Full: true})
		control.tell(api.SlotFeed{Cluster: otherCluster, Cursor: api.SlotCursor{Generation: 1, Index: 51}})
		if len(f.feeds) != 1 || f.feeds[0].Cursor.Index != 50 {
			t.Errorf("the engine was told %+v", f.feeds)
		}
		if asked := control.registered(); len(asked) != 1 || asked[0].State != api.StateManaged {
			t.Errorf("registered %+v", asked)
		}
		if !slices.Equal(f.registered, []api.SlotCursor{control.cursor}) {
			t.Errorf("the engine heard of sessions at %v", f.registered)
		}
		if beats := control.beaten(); beats[0].Moves == nil || beats[0].Moves.Running != 3 {
			t.Errorf("first beat %+v", beats[0])
		}
		if stats := node.Stats(); stats.Slots != 7 || stats.Replication.LagRecords != 2 {
			t.Errorf("stats %+v", stats)
		}
		if self := f.config.Self; self.Node != "n0" || self.Store != node.registration.StoreID || f.config.Bits != api.SlotBitsMin {
			t.Errorf("engine opened with %+v", f.config)
		}
	})
}

// TestEngineProposes: in the session of the last registration; one that is not known any more is renewed.
func TestEngineProposes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		config, control := engineConfig(t, f)
		control.cursor.Generation = 6
		var sent api.SlotProposals
		known := false
		control.onPropose = func(asked api.SlotProposals) (api.SlotVerdicts, error) {
			if sent = asked; !known {
				return api.SlotVerdicts{}, api.NewProblem(api.CodeUnknownSession, "")
			}
			return api.SlotVerdicts{Verdicts: make([]api.SlotVerdict, len(asked.Proposals))}, nil
		}
		control.onBeat = func(beat api.Beat) error {
			if beat.Session == "s1" && !known {
				return api.NewProblem(api.CodeUnknownSession, "")
			}
			return nil
		}
		known = true
		node := openNode(t, config)
		defer closeNode(t, node)
		synctest.Wait()
		asked := []api.SlotProposal{{Slot: 3, Base: 5, Kind: "abort"}}
		propose := f.config.Control.Propose
		if _, err := propose(t.Context(), asked); err != nil {
			t.Fatal(err)
		}
		want := api.SlotProposals{Node: "n0", Session: "s1", Generation: 6, SlotBits: api.SlotBitsMin}
		if sent.Node != want.Node || sent.Session != want.Session || sent.Generation != want.Generation || sent.SlotBits != want.SlotBits {
			t.Errorf("sent %+v", sent)
		}
		control.script(func() { known = false })
		if _, err := propose(t.Context(), asked); api.CodeOf(err) != api.CodeUnknownSession {
			t.Errorf("in a lost session: %v", err)
		}
		time.Sleep(200 * time.Millisecond) // less than a beat
		control.script(func() { known = true })
		if _, err := propose(t.Context(), asked); err != nil || sent.Session != "s2" {
			t.Errorf("in session %s: %v", sent.Session, err)
		}
	})
}

// TestEngineOfStateNone: configurations are what the ring says.
func TestEngineOfStateNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		control := newFakeControl(testView(t, 7, 5, "n0"))
		config := testConfig(control)
		config.Service, config.openEngine = nothing{}, f.open
		node := openNode(t, config)
		defer closeNode(t, node)
		synctest.Wait()
		control.publish(testView(t, 8, 6, "n1"))
		synctest.Wait()
		if f.config.Control != nil || f.config.Network != nil || control.registered()[0].State != "" {
			t.Errorf("opened with %+v, registered as %q", f.config, control.registered()[0].State)
		}
		slots := 1 << api.SlotBitsMin
		if len(f.feeds) != 2 || !f.feeds[0].Full || f.feeds[1].Full || len(f.feeds[0].Slots) != slots || len(f.feeds[1].Slots) != slots {
			t.Fatalf("told %d feeds", len(f.feeds))
		}
		if own := f.feeds[0].Slots[3]; own.Epoch != 5 || own.PrimaryReplica() != f.config.Self {
			t.Errorf("own slot %+v", own)
		}
		if other := f.feeds[1].Slots[3]; other.Epoch != 6 || other.Primary != "n1" || other.ISR[0].Node != "n1" {
			t.Errorf("another's slot %+v", other)
		}
	})
}

// TestEngineFailureEndsTheNode, whose parts are closed all the same.
func TestEngineFailureEndsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		config, _ := engineConfig(t, f)
		node := openNode(t, config)
		synctest.Wait()
		close(f.failed)
		<-node.Done()
		if err := node.Err(); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
			t.Errorf("%v", err)
		}
		closeNode(t, node)
		if !slices.Equal(f.calls, []string{"close"}) {
			t.Errorf("calls %v", f.calls)
		}
	})
}

// TestEngineThatCannotOpenEndsTheNode, before it registers.
func TestEngineThatCannotOpenEndsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config, control := engineConfig(t, newFakeEngine(replication.PlaceHere))
		config.openEngine = func(replication.Config) (engine, error) { return nil, errAway }
		node := openNode(t, config)
		defer closeNode(t, node)
		<-node.Done()
		if !errors.Is(node.Err(), errAway) || control.history() != "" {
			t.Errorf("%v after %s", node.Err(), control.history())
		}
	})
}

// TestEngineOnDiskOpensBeforeTheControlPlaneAnswers, once the folder knows its cluster.
func TestEngineOnDiskOpensBeforeTheControlPlaneAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		config, _ := engineConfig(t, f)
		config.DataDir = t.TempDir()
		node := openNode(t, config)
		synctest.Wait()
		closeNode(t, node)

		again := newFakeEngine(replication.PlaceHere)
		config.ControlPlane, config.openEngine = newFakeControl(nil), again.open
		node = openNode(t, config)
		synctest.Wait()
		if again.config.Self != f.config.Self || len(again.registered) != 0 {
			t.Errorf("opened as %+v, was %+v", again.config.Self, f.config.Self)
		}
		closeNode(t, node)
	})
}
