package planner

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

var policy = Policy{Delay: 3 * time.Second, EvictShare: 0.25, EvictWindow: time.Minute}

// world is a state with a clock; every command takes a millisecond.
type world struct {
	t     *testing.T
	state *fsm.State
	now   time.Time
	seen  map[api.ChangeID]time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, state: fsm.New(), now: time.UnixMilli(1_000_000), seen: map[api.ChangeID]time.Time{}}
	w.apply(fsm.Bootstrap{Cluster: "0123456789abcdef0123456789abcdef", Settings: api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"query:k"}, NoKey: api.NoKeyReject,
		SlotBits: 8, Replicas: 1, Hash: api.HashSipHash24, HashKey: "0123456789abcdef0123456789abcdef",
	}})
	return w
}

func (w *world) apply(command fsm.Command) fsm.Result {
	w.t.Helper()
	w.now = w.now.Add(time.Millisecond)
	entry, err := fsm.Encode(fsm.At(w.now, fsm.By("test")), command)
	if err != nil {
		w.t.Fatal(err)
	}
	next, result, err := fsm.Apply(w.state, w.state.Index+1, entry)
	if err != nil || result.Problem != nil {
		w.t.Fatalf("%T: %v %v", command, err, result.Problem)
	}
	w.state = next
	if _, known := w.seen[result.Change]; !known {
		w.seen[result.Change] = w.now
	}
	return result
}

func (w *world) register(id string, onDown api.OnDown) {
	w.t.Helper()
	port := 1000 + len(w.state.Nodes()) + int(id[len(id)-1])
	w.apply(fsm.Register{Registration: api.Registration{
		ID: api.NodeID(id), Address: fmt.Sprintf("127.0.0.1:%d", port), OnDown: onDown,
	}})
}

func (w *world) down(id string) {
	w.t.Helper()
	node := w.state.Node(api.NodeID(id))
	w.apply(fsm.Status{Transitions: []fsm.Transition{{Node: node.Registration.ID, Session: node.Session, Status: api.NodeDown, Reason: "silent"}}})
}

// settle plans whatever is due and returns how many slots moved; -1: nothing was due.
func (w *world) settle() int {
	w.t.Helper()
	agenda := Due(w.state, policy, w.seen, w.now)
	if len(agenda.Hold) > 0 {
		w.apply(fsm.Hold{Changes: agenda.Hold, Reason: "held"})
	}
	if len(agenda.Settle) == 0 {
		return -1
	}
	want, moved := Plan(w.state, agenda.Settle)
	w.apply(fsm.Want{Base: w.state.PlanBase(), Want: fsm.PackWant(want), Changes: agenda.Settle})
	return moved
}

func (w *world) expectHeld(want ...string) {
	w.t.Helper()
	var got []string
	held := w.state.SlotsHeld()
	for _, node := range w.state.Nodes() {
		got = append(got, fmt.Sprintf("%s:%d", node.Registration.ID, held[node.Index]))
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("got %v, want %v", got, want)
	}
}

func (w *world) expectMoved(got, want int) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%d slots moved, want %d", got, want)
	}
}

func TestJoinsWaitForTheLast(t *testing.T) {
	w := newWorld(t)
	w.register("n1", api.OnDownWait)
	w.now = w.now.Add(2 * time.Second)
	w.register("n2", api.OnDownWait)
	w.now = w.now.Add(2 * time.Second)
	if agenda := Due(w.state, policy, w.seen, w.now); len(agenda.Settle) != 0 || agenda.Wait <= 0 {
		t.Fatalf("planned too early: %+v", agenda)
	}
	w.now = w.now.Add(time.Second)
	w.expectMoved(w.settle(), 256)
	w.expectHeld("n1:128", "n2:128")
}

// TestJoinsWaitByTheLeadersClock: that a former leader's clock was an hour ahead holds up no plan.
func TestJoinsWaitByTheLeadersClock(t *testing.T) {
	w := newWorld(t)
	honest := w.now
	w.now = honest.Add(time.Hour)
	w.register("n1", api.OnDownWait)
	w.seen[w.state.NewestChange()] = honest
	w.now = honest.Add(policy.Delay)
	w.expectMoved(w.settle(), 256)
}

func TestSlotsWithStateStayUntilAskedFor(t *testing.T) {
	w := newWorld(t)
	w.register("n1", api.OnDownWait)
	w.now = w.now.Add(time.Minute)
	w.settle()
	w.register("n2", api.OnDownWait)
	w.now = w.now.Add(time.Minute)
	w.expectMoved(w.settle(), 0)
	w.expectHeld("n1:256", "n2:0")
	w.down("n1")
	w.expectMoved(w.settle(), -1)
	w.apply(fsm.Rebalance{})
	w.expectMoved(w.settle(), 0) // n1 is down: what it holds waits for it
	w.apply(fsm.Register{Registration: w.state.Node("n1").Registration})
	w.apply(fsm.Rebalance{})
	w.expectMoved(w.settle(), 128)
	w.expectHeld("n1:128", "n2:128")
	w.apply(fsm.Drain{Node: "n2", On: true})
	w.expectMoved(w.settle(), 128)
	w.expectHeld("n1:256", "n2:0")
}

func TestCachesJoinAndLeaveByThemselves(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"n1", "n2", "n3"} {
		w.register(id, api.OnDownReset)
	}
	w.now = w.now.Add(time.Minute)
	w.settle()
	w.register("n4", api.OnDownReset)
	w.now = w.now.Add(time.Minute)
	w.expectMoved(w.settle(), 64)
	w.down("n1")
	w.expectMoved(w.settle(), 64)
	change, _ := w.state.Change(w.state.NewestChange())
	if change.Kind != "expire" || !change.Lossy {
		t.Errorf("got %+v", change)
	}
	w.apply(fsm.Register{Registration: w.state.Node("n1").Registration})
	w.now = w.now.Add(time.Minute)
	w.expectMoved(w.settle(), 64)
}

func TestGovernor(t *testing.T) {
	w := newWorld(t)
	for i := range 8 {
		w.register(fmt.Sprintf("n%d", i), api.OnDownReset)
	}
	w.now = w.now.Add(time.Minute)
	w.settle()
	for i := range 5 {
		w.down(fmt.Sprintf("n%d", i))
	}
	w.settle() // two of eight may go at once
	w.expectHeld("n0:0", "n1:0", "n2:32", "n3:32", "n4:32", "n5:54", "n6:53", "n7:53")
	if held := len(w.state.HeldChanges()); held != 3 {
		t.Fatalf("%d changes are held", held)
	}
	w.now = w.now.Add(time.Hour)
	w.expectMoved(w.settle(), -1) // a person decides, not time
	w.apply(fsm.Drain{Node: "n2", On: true})
	w.expectMoved(w.settle(), 32)
	if held := len(w.state.HeldChanges()); held != 2 {
		t.Fatalf("%d changes are held", held)
	}
}

// TestLeavingIsNoVanishing: caches that stop on purpose are replaced at once, however many.
func TestLeavingIsNoVanishing(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"n1", "n2", "n3"} {
		w.register(id, api.OnDownReset)
	}
	w.now = w.now.Add(4 * time.Second)
	w.settle()
	for _, id := range []api.NodeID{"n1", "n2"} {
		w.apply(fsm.Status{Transitions: []fsm.Transition{{Node: id, Session: w.state.Node(id).Session, Status: api.NodeDown, Left: true}}})
		if w.settle() <= 0 {
			t.Fatalf("the slots of %s were held", id)
		}
	}
	w.expectHeld("n1:0", "n2:0", "n3:256")
}

// TestGovernorForgetsWhoCameBack: a node that dies again and again is one node, not many at once.
func TestGovernorForgetsWhoCameBack(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"n1", "n2", "n3"} {
		w.register(id, api.OnDownReset)
	}
	w.now = w.now.Add(4 * time.Second)
	w.settle()
	for round := range 6 {
		id := fmt.Sprintf("n%d", round%3+1)
		w.down(id)
		if moved := w.settle(); moved <= 0 {
			t.Fatalf("round %d: the slots of %s were held", round, id)
		}
		w.apply(fsm.Register{Registration: w.state.Node(api.NodeID(id)).Registration})
		w.now = w.now.Add(4 * time.Second)
		w.settle()
	}
}

func TestPlanKeepsGeometry(t *testing.T) {
	w := newWorld(t)
	w.register("n1", api.OnDownReset)
	want, _ := Plan(w.state, nil)
	if len(want) != 256 || slices.Contains(want, ring.NoNode) {
		t.Fatalf("got %v", want)
	}
}

// TestGovernorCountsBeyondHistory: that more nodes vanish than history keeps changes gives none of them
// away.
func TestGovernorCountsBeyondHistory(t *testing.T) {
	const nodes, vanished, byGovernor = 4400, 2200, 1100
	w := newWorld(t)
	w.apply(fsm.Level{Level: 2})
	for i := range nodes {
		w.apply(fsm.Register{Registration: api.Registration{
			ID: api.NodeID(fmt.Sprintf("n%04d", i)), Address: fmt.Sprintf("10.0.%d.%d:80", i>>8, i&255), OnDown: api.OnDownReset,
		}})
	}
	w.now = w.now.Add(time.Minute)
	w.settle()
	for first := 0; first < vanished; first += vanished / 2 { // in two waves, so that history forgets the first
		var silent []fsm.Transition
		for _, node := range w.state.Nodes()[first : first+vanished/2] {
			silent = append(silent, fsm.Transition{Node: node.Registration.ID, Session: node.Session, Status: api.NodeDown, Reason: "silent"})
		}
		w.apply(fsm.Status{Transitions: silent})
		w.settle()
	}
	held, given := 0, 0
	for _, node := range w.state.Nodes() {
		switch {
		case node.Held:
			held++
		case node.Status == api.NodeDown:
			given++
		}
	}
	if given != byGovernor || held != vanished-byGovernor {
		t.Errorf("%d nodes were given up and %d held; the governor allows %d", given, held, byGovernor)
	}
}
