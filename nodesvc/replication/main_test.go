package replication

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// words is a service: per slot, key to value; a record is key=value.
type words struct {
	mu        sync.Mutex
	slots     map[api.Slot]map[string]string
	rehearsal func(api.Slot) error // nil: goes well
	dropping  func()               // nil: nothing is in the way of Drop
}

func (w *words) Rehearse(slot api.Slot) error {
	if w.rehearsal == nil {
		return nil
	}
	return w.rehearsal(slot)
}

func newWords() *words { return &words{slots: make(map[api.Slot]map[string]string)} }

func (w *words) Apply(slot api.Slot, record []byte) (any, error) {
	key, value, _ := bytes.Cut(record, []byte("="))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots[slot] == nil {
		w.slots[slot] = make(map[string]string)
	}
	before := w.slots[slot][string(key)]
	w.slots[slot][string(key)] = string(value)
	return before, nil
}

func (w *words) get(slot api.Slot, key string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slots[slot][key]
}

func (w *words) Snapshot(slot api.Slot, to io.Writer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(w.slots[slot])) {
		if _, err := fmt.Fprintf(to, "%s=%s\n", key, w.slots[slot][key]); err != nil {
			return err
		}
	}
	return nil
}

func (w *words) Restore(slot api.Slot, from io.Reader) error {
	state, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if err := w.Drop(slot); err != nil {
		return err
	}
	for line := range bytes.Lines(state) {
		if _, err := w.Apply(slot, bytes.TrimSpace(line)); err != nil {
			return err
		}
	}
	return nil
}

func (w *words) Drop(slot api.Slot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if dropping := w.dropping; dropping != nil {
		w.mu.Unlock()
		dropping()
		w.mu.Lock()
	}
	delete(w.slots, slot)
	return nil
}

// stage is a control plane and a network for engines in one process.
type stage struct {
	t        *testing.T
	dir      string // of the stores' data
	frozen   bool   // the services keep no log
	mu       sync.Mutex
	index    uint64
	settings api.Settings
	configs  map[api.Slot]api.SlotConfig
	nodes    map[api.NodeID]api.SlotNode
	actors   map[api.NodeID]*actor
	cut      map[[2]api.NodeID]bool
}

// actor is one engine, and what it runs with.
type actor struct {
	*Engine
	stage   *stage
	self    member
	service *words
	log     slotlog.Store
	inbox   *inbox
}

// inbox delivers what is sent to an actor, in order, until it is closed.
type inbox struct {
	mu     sync.Mutex
	filled *sync.Cond
	queue  []func()
	closed bool
	done   chan struct{}
}

func newInbox() *inbox {
	in := &inbox{done: make(chan struct{})}
	in.filled = sync.NewCond(&in.mu)
	go in.run()
	return in
}

func (in *inbox) add(f func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.queue = append(in.queue, f)
	in.filled.Signal()
}

func (in *inbox) run() {
	defer close(in.done)
	for {
		in.mu.Lock()
		for len(in.queue) == 0 && !in.closed {
			in.filled.Wait()
		}
		if in.closed {
			in.mu.Unlock()
			return
		}
		f := in.queue[0]
		in.queue = in.queue[1:]
		in.mu.Unlock()
		f()
	}
}

func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.filled.Signal()
	in.mu.Unlock()
	<-in.done
}

const testBits = 8

func newStage(t *testing.T, replicas int) *stage {
	return &stage{
		t: t, dir: t.TempDir(), index: 100, settings: api.Settings{State: api.StateManaged, Replicas: replicas, SlotBits: testBits},
		configs: make(map[api.Slot]api.SlotConfig), nodes: make(map[api.NodeID]api.SlotNode),
		actors: make(map[api.NodeID]*actor), cut: make(map[[2]api.NodeID]bool),
	}
}

// start runs a store: anew if it ran before, for its log is on disk.
func (st *stage) start(id api.NodeID) *actor {
	st.t.Helper()
	log, err := slotlog.OpenDisk(filepath.Join(st.dir, string(id)), slotlog.DiskOptions{})
	if err != nil {
		st.t.Fatal(err)
	}
	store := storeOf(id)
	a := &actor{stage: st, self: member{Node: id, Store: store}, service: newWords(), log: log, inbox: newInbox()}
	engine, err := Open(Config{Self: a.self, Bits: testBits, Service: a.service, Log: log, Network: a, Control: a, AckTimeout: 500 * time.Millisecond, LogBytes: 1 << testBits * 100, Frozen: st.frozen})
	if err != nil {
		st.t.Fatal(err)
	}
	a.Engine = engine
	st.mu.Lock()
	st.nodes[id] = api.SlotNode{ID: id, Address: "127.0.0.1:1", Store: store, Status: api.NodeUp}
	st.actors[id] = a
	st.index++
	for slot, config := range st.configs {
		st.restart(slot, config, a.self)
	}
	cursor := api.SlotCursor{Generation: 1, Index: st.index}
	others := slices.Collect(maps.Values(st.actors))
	st.mu.Unlock()
	a.Registered(cursor)
	for _, other := range others {
		if other != a {
			st.link(a, other)
		}
	}
	st.tell()
	return a
}

// restart is what registering does to a slot.
func (st *stage) restart(slot api.Slot, config api.SlotConfig, self member) {
	up := func(m member) bool { return st.actors[m.Node] != nil && st.nodes[m.Node].Status == api.NodeUp }
	next, outcome := ownership.Restart(asConfig(config), self, self, up, func(m []member) member { return m[0] })
	if outcome != ownership.Kept {
		st.configs[slot] = asSlot(config, next)
	}
}

func asConfig(c api.SlotConfig) config {
	return config{Epoch: c.Epoch, Primary: c.PrimaryReplica(), ISR: c.ISR}
}

func asSlot(was api.SlotConfig, c config) api.SlotConfig {
	was.Epoch, was.Primary, was.ISR = c.Epoch, c.Primary.Node, c.ISR
	return was
}

func (a *actor) hello() peer.Hello { return peer.Hello{Node: a.self.Node, Store: a.self.Store} }

func (st *stage) link(a, b *actor) {
	a.inbox.add(func() { a.Linked(b.hello()) })
	b.inbox.add(func() { b.Linked(a.hello()) })
}

// part cuts two actors off from each other.
func (st *stage) part(a, b *actor) {
	st.mu.Lock()
	st.cut[[2]api.NodeID{a.self.Node, b.self.Node}], st.cut[[2]api.NodeID{b.self.Node, a.self.Node}] = true, true
	st.mu.Unlock()
	a.inbox.add(func() { a.Lost(b.hello()) })
	b.inbox.add(func() { b.Lost(a.hello()) })
}

func (a *actor) reach(to api.NodeID) *actor {
	a.stage.mu.Lock()
	defer a.stage.mu.Unlock()
	if a.stage.cut[[2]api.NodeID{a.self.Node, to}] {
		return nil
	}
	return a.stage.actors[to]
}

// Send implements peer.Network.
func (a *actor) Send(to api.NodeID, kind uint8, body []byte) error {
	other := a.reach(to)
	if other == nil {
		return peer.ErrNoLink
	}
	from := a.hello()
	other.inbox.add(func() { other.Receive(from, kind, body) })
	return nil
}

func (a *actor) SendBulk(_ context.Context, to api.NodeID, kind uint8, body []byte) error {
	return a.Send(to, kind, body)
}

func (a *actor) Peer(node api.NodeID) (peer.Hello, bool) {
	if other := a.reach(node); other != nil {
		return other.hello(), true
	}
	return peer.Hello{}, false
}

func (a *actor) Follow([]api.SlotNode) {}

// Propose implements Control.
func (a *actor) Propose(_ context.Context, asked []api.SlotProposal) (verdicts api.SlotVerdicts, err error) {
	st := a.stage
	st.mu.Lock()
	st.index++
	for _, p := range asked {
		kind, _ := ownership.ParseKind(p.Kind)
		now := st.configs[p.Slot]
		facts := ownership.Facts[member]{
			Replicas:   st.settings.Replicas,
			Registered: func(m member) bool { return st.nodes[m.Node].Store == m.Store },
			Up:         func(m member) bool { return st.nodes[m.Node].Status == api.NodeUp },
			Wanted:     func(m member) bool { return slices.Contains(now.Want, m.Node) },
			Missing: func(isr []member) (missing int) {
				for _, id := range now.Want {
					if !slices.ContainsFunc(isr, func(m member) bool { return m.Node == id }) {
						missing++
					}
				}
				return missing
			},
		}
		next, refusal := ownership.Decide(asConfig(now), ownership.Proposal[member]{
			Kind: kind, By: a.self, Base: p.Base, Primary: member{Node: p.Primary, Store: st.nodes[p.Primary].Store}, ISR: p.ISR, Silent: p.Silent,
		}, facts)
		if refusal == ownership.Accepted {
			st.configs[p.Slot] = asSlot(now, next)
		}
		verdicts.Verdicts = append(verdicts.Verdicts, api.SlotVerdict{Config: st.configs[p.Slot], Refusal: string(refusal)})
	}
	verdicts.Cursor = api.SlotCursor{Generation: 1, Index: st.index}
	st.mu.Unlock()
	st.tell()
	return verdicts, nil
}

// tell gives every actor all configurations.
func (st *stage) tell() {
	st.mu.Lock()
	feed := api.SlotFeed{Cursor: api.SlotCursor{Generation: 1, Index: st.index}, Settings: st.settings}
	feed.Nodes = slices.Collect(maps.Values(st.nodes))
	feed.Slots = slices.Collect(maps.Values(st.configs))
	actors := slices.Collect(maps.Values(st.actors))
	st.mu.Unlock()
	for _, a := range actors {
		a.inbox.add(func() { a.Learn(feed) })
	}
}

// want sets who should hold a slot; one that nobody held is given to them.
func (st *stage) want(slot api.Slot, nodes ...api.NodeID) {
	st.mu.Lock()
	st.index++
	c := st.configs[slot]
	c.Slot, c.Want = slot, nodes
	if c.Epoch == 0 {
		c.Epoch, c.Primary = 1, nodes[0]
		for _, id := range nodes {
			c.ISR = append(c.ISR, member{Node: id, Store: st.nodes[id].Store})
		}
	}
	st.configs[slot] = c
	st.mu.Unlock()
	st.tell()
}

// force makes a store a slot's only member, whatever it has of it.
func (st *stage) force(slot api.Slot, to member) {
	st.mu.Lock()
	st.index++
	c := st.configs[slot]
	c.Epoch, c.Primary, c.ISR, c.Want = c.Epoch+1, to.Node, []member{to}, []api.NodeID{to.Node}
	st.configs[slot] = c
	st.mu.Unlock()
	st.tell()
}

// down kills an actor, and lets the control plane notice.
func (st *stage) down(a *actor) {
	st.stop(a)
	st.mu.Lock()
	st.index++
	node := st.nodes[a.self.Node]
	node.Status = api.NodeDown
	st.nodes[a.self.Node] = node
	for slot, c := range st.configs {
		up := func(m member) bool { return st.nodes[m.Node].Status == api.NodeUp }
		if next, outcome := ownership.Succeed(asConfig(c), up, func(m []member) member { return m[0] }); outcome == ownership.Moved {
			st.configs[slot] = asSlot(c, next)
		}
	}
	st.mu.Unlock()
	st.tell()
}

// stop ends an actor.
func (st *stage) stop(a *actor) {
	st.mu.Lock()
	delete(st.actors, a.self.Node)
	others := slices.Collect(maps.Values(st.actors))
	st.mu.Unlock()
	for _, other := range others {
		other.inbox.add(func() { other.Lost(a.hello()) })
	}
	a.inbox.close()
	_ = a.Close()
	if err := a.log.Close(); err != nil {
		st.t.Error(err)
	}
}

func (st *stage) stopAll() {
	for _, a := range slices.Collect(maps.Values(st.actors)) {
		st.stop(a)
	}
}

// config waits until a slot's configuration is as it should be.
func (st *stage) await(slot api.Slot, what string, as func(api.SlotConfig) bool) {
	st.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		st.mu.Lock()
		c := st.configs[slot]
		st.mu.Unlock()
		if as(c) {
			return
		}
		if time.Now().After(deadline) {
			st.t.Fatalf("waited in vain for %s: %+v", what, c)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (a *actor) put(t *testing.T, slot api.Slot, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	retry(t, ctx, "put "+key, func() error {
		_, err := a.Update(ctx, slot, []byte(key), func() ([]byte, error) { return []byte(key + "=" + value), nil })
		return err
	})
}

// retry asks again while the slot is elsewhere: a proxy would ask there, and come back.
func retry(t *testing.T, ctx context.Context, what string, f func() error) {
	t.Helper()
	for {
		err := f()
		if err == nil {
			return
		}
		if api.CodeOf(err) != api.CodeNotOwner || ctx.Err() != nil {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (a *actor) get(t *testing.T, slot api.Slot, key, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var got string
	retry(t, ctx, "get "+key, func() error {
		return a.Read(ctx, slot, func() error { got = a.service.get(slot, key); return nil }, false)
	})
	if got != want {
		t.Errorf("%s is %q, want %q", key, got, want)
	}
}

func storeOf(id api.NodeID) api.StoreID { return api.StoreID(fmt.Sprintf("%032x", string(id))) }
