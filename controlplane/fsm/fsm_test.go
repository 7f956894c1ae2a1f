package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

const testCluster = "0123456789abcdef0123456789abcdef"

func testSettings() api.Settings {
	return api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: 8, Replicas: 1, Hash: api.HashSipHash24, HashKey: testCluster,
	}
}

// history applies commands one after another, checking the invariants after each.
type history struct {
	t     testing.TB
	state *State
	clock int64
}

func newHistory(t testing.TB) *history {
	h := &history{t: t, state: New()}
	h.must(Bootstrap{Cluster: testCluster, Settings: testSettings()})
	return h
}

func (h *history) apply(command Command) Result {
	h.t.Helper()
	h.clock += 10
	entry, err := Encode(Header{Time: h.clock, Origin: By("test")}, command)
	if err != nil {
		h.t.Fatal(err)
	}
	next, result, err := Apply(h.state, h.state.Index+1, entry)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := next.Check(); err != nil {
		h.t.Fatalf("after %T %+v: %v", command, command, err)
	}
	h.state = next
	return result
}

func (h *history) must(command Command) Result {
	h.t.Helper()
	result := h.apply(command)
	if result.Problem != nil {
		h.t.Fatalf("%T %+v: %v", command, command, result.Problem)
	}
	return result
}

func (h *history) refuse(code api.Code, command Command) {
	h.t.Helper()
	before := h.state
	result := h.apply(command)
	if result.Problem == nil || result.Problem.Code != code {
		h.t.Fatalf("%T %+v: got %v, want %s", command, command, result.Problem, code)
	}
	if h.state.Version() != before.Version() || h.state.NewestChange() != before.NewestChange() {
		h.t.Fatalf("%T was refused and changed the state", command)
	}
}

// spread gives the slots to the named nodes in turn and settles what is pending.
func (h *history) spread(ids ...api.NodeID) Result {
	h.t.Helper()
	want := make([]ring.NodeIndex, h.state.SlotCount())
	for slot := range want {
		want[slot] = ring.NoNode
		if len(ids) > 0 {
			want[slot] = h.state.Node(ids[slot%len(ids)]).Index
		}
	}
	return h.must(Want{Base: h.state.Number, Want: PackWant(want), Changes: h.state.pending})
}

func node(id string, port int) api.Registration {
	return api.Registration{ID: api.NodeID(id), Address: fmt.Sprintf("127.0.0.1:%d", port)}
}

func TestRegisterListsAndFlips(t *testing.T) {
	h := newHistory(t)
	first := h.must(Register{node("n1", 1)})
	if !first.Created || first.Node.Session == "" || h.state.Number != 2 {
		t.Fatalf("got %+v at version %d", first, h.state.Number)
	}
	h.must(Register{node("n2", 2)})
	h.spread("n1", "n2")
	held := h.state.SlotsHeld()
	if held[0] != 128 || held[1] != 128 {
		t.Fatalf("got %v", held)
	}
	change, problem := h.state.Change(3)
	if problem != nil || change.Status != api.ChangeDone || change.Progress.Total != 256 || change.Last.Number != h.state.Number {
		t.Fatalf("got %+v, %v", change, problem)
	}
	if want := change.Want(); len(want) != 256 || want[0][0] != "n1" || want[1][0] != "n2" {
		t.Fatalf("got %v", want)
	}
}

func TestRegisterAgain(t *testing.T) {
	disk := func(store byte, boot uint64, nonce string) api.Registration {
		r := node("n1", 1)
		r.StoreID, r.Boot, r.Nonce = api.StoreID(bytes.Repeat([]byte{store}, 32)), boot, nonce
		return r
	}
	memory := func(store byte, nonce string) api.Registration {
		r := disk(store, 0, nonce)
		r.Volatile = true
		return r
	}
	replace := disk('b', 1, "y")
	replace.Replace = true
	moved := node("n1", 9)
	type step struct {
		status api.NodeStatus // of the node before the second registration
		again  api.Registration
		want   api.Code
	}
	f := func(name string, first api.Registration, s step) {
		t.Helper()
		h := newHistory(t)
		session := h.must(Register{first}).Node.Session
		if s.status != api.NodeUp {
			h.must(Status{[]Transition{{Node: "n1", Session: session, Status: s.status}}})
		}
		if s.want != "" {
			h.refuse(s.want, Register{s.again})
			return
		}
		if result := h.must(Register{s.again}); result.Created || h.state.Node("n1").Status != api.NodeUp {
			t.Errorf("%s: got %+v", name, result)
		}
	}
	f("same again", node("n1", 1), step{api.NodeUp, node("n1", 1), ""})
	f("other address while up", node("n1", 1), step{api.NodeUp, moved, api.CodeNodeIDInUse})
	f("other address when down", node("n1", 1), step{api.NodeDown, moved, ""})
	f("next boot", disk('a', 1, "x"), step{api.NodeUp, disk('a', 2, "y"), ""})
	f("same boot, same process", disk('a', 1, "x"), step{api.NodeUp, disk('a', 1, "x"), ""})
	f("same boot, other process", disk('a', 1, "x"), step{api.NodeUp, disk('a', 1, "y"), api.CodeStaleBoot})
	f("earlier boot", disk('a', 3, "x"), step{api.NodeDown, disk('a', 2, "y"), api.CodeStaleBoot})
	f("other store while up", disk('a', 1, "x"), step{api.NodeUp, disk('b', 1, "y"), api.CodeNodeIDInUse})
	f("other store when down", disk('a', 1, "x"), step{api.NodeDown, disk('b', 1, "y"), api.CodeNodeIDInUse})
	f("replaced when down", disk('a', 1, "x"), step{api.NodeDown, replace, ""})
	f("replaced while up", disk('a', 1, "x"), step{api.NodeUp, replace, api.CodeNodeIDInUse})
	f("memory, alive", memory('a', "x"), step{api.NodeUp, memory('b', "y"), api.CodeNodeAlive})
	f("memory, silent", memory('a', "x"), step{api.NodeSuspect, memory('b', "y"), ""})
	f("memory, down", memory('a', "x"), step{api.NodeDown, memory('b', "y"), ""})
}

func TestRefusals(t *testing.T) {
	h := newHistory(t)
	h.must(Register{node("n1", 1)})
	h.spread("n1")
	weight := func(w int) api.NodePatch { return api.NodePatch{Weight: &w} }
	other := node("n2", 2)
	other.Service = "another"
	bits := node("n2", 2)
	bits.SlotBits = 12
	h.refuse(api.CodeConflict, Bootstrap{Cluster: testCluster, Settings: testSettings()})
	h.refuse(api.CodeServiceMismatch, Register{other})
	h.refuse(api.CodeRingGeometry, Register{bits})
	stranger := node("n2", 2)
	stranger.Cluster = "ffffffffffffffffffffffffffffffff"
	h.refuse(api.CodeWrongCluster, Register{stranger})
	h.refuse(api.CodeAddressInUse, Register{node("n2", 1)})
	h.refuse(api.CodeInvalid, Register{node("no spaces", 2)})
	h.refuse(api.CodeNodeUnknown, Drain{Node: "n9", On: true})
	h.refuse(api.CodeLastNode, Drain{Node: "n1", On: true})
	h.refuse(api.CodeInvalid, Patch{Node: "n1", Patch: weight(0)})
	h.refuse(api.CodeInvalid, Patch{Node: "n1", Patch: weight(1_000_000_000)})
	h.refuse(api.CodeLastCopy, Remove{Node: "n1"})
	h.refuse(api.CodeSettingGuarded, Settings{Keys: []string{"query:tenant"}})
	h.refuse(api.CodeInvalid, Settings{Keys: []string{"nonsense"}})
	h.refuse(api.CodeConflict, Want{Base: 1})
	h.refuse(api.CodeInvalid, Want{Base: h.state.Number, Want: []byte{0}})
	h.refuse(api.CodeInvalid, Level{Level: 0})
	h.must(Remove{Node: "n1", Force: true})
	if change, _ := h.state.Change(h.state.NewestChange()); !change.Lossy || change.LeavesState != 256 {
		t.Fatalf("a forced removal is lossy, got %+v", change)
	}
	h.refuse(api.CodeNoNodes, Rebalance{})
}

func TestExpiryOfNodes(t *testing.T) {
	h := newHistory(t)
	reset := node("cache", 1)
	reset.OnDown = api.OnDownReset
	cache := h.must(Register{reset}).Node.Session
	kv := h.must(Register{node("kv", 2)}).Node.Session
	h.spread("cache", "kv")
	h.must(Status{[]Transition{
		{Node: "cache", Session: cache, Status: api.NodeDown, Reason: "silent"},
		{Node: "kv", Session: kv, Status: api.NodeDown, Reason: "silent"},
	}})
	pending := h.state.Pending()
	if len(pending) != 1 || pending[0].Node != "cache" {
		t.Fatalf("only a node that resets calls for a plan, got %+v", pending)
	}
	h.must(Hold{Changes: h.state.pending, Reason: "too many"})
	if !h.state.Node("cache").Held || len(h.state.HeldChanges()) != 1 {
		t.Fatal("the node is not held")
	}
	h.must(Register{reset})
	if h.state.Node("cache").Held || len(h.state.HeldChanges()) != 0 {
		t.Fatal("a node that returned is still held")
	}
}

func TestUnknownCommandStops(t *testing.T) {
	_, _, err := Apply(New(), 1, []byte("\xf0{}"))
	if !errors.Is(err, ErrUnknownCommand) {
		t.Fatalf("got %v", err)
	}
}

// TestRandomHistories drives random commands and checks what must hold whatever they were.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := newHistory(t)
		digests := map[uint64]ring.Digest{h.state.Number: h.state.Table().Digest()}
		var kept []*State
		var encodings [][]byte
		for range 120 {
			h.apply(randomCommand(random, h.state))
			digest := h.state.Table().Digest()
			if earlier, known := digests[h.state.Number]; known && earlier != digest {
				t.Fatalf("seed %d: version %d has two tables", seed, h.state.Number)
			}
			digests[h.state.Number] = digest
			if random.IntN(20) == 0 {
				kept, encodings = append(kept, h.state), append(encodings, encode(t, h.state))
			}
		}
		for number, digest := range digests {
			past, problem := h.state.At(number)
			if problem != nil || past.Table.Digest() != digest {
				t.Fatalf("seed %d: version %d was rebuilt otherwise: %v", seed, number, problem)
			}
		}
		for i, state := range kept {
			if !bytes.Equal(encode(t, state), encodings[i]) {
				t.Fatalf("seed %d: a state changed after it was returned", seed)
			}
		}
		restored, err := DecodeState(bytes.NewReader(encode(t, h.state)))
		if err != nil || !bytes.Equal(encode(t, restored), encode(t, h.state)) {
			t.Fatalf("seed %d: a snapshot does not come back as it was: %v", seed, err)
		}
	}
}

func encode(t testing.TB, state *State) []byte {
	t.Helper()
	var buffer bytes.Buffer
	if err := state.Encode(&buffer); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func randomCommand(random *rand.Rand, state *State) Command {
	n := random.IntN(8)
	id := api.NodeID(fmt.Sprintf("n%d", n))
	switch random.IntN(15) {
	case 12:
		return Maintenance{Node: id, For: api.Duration(random.IntN(3)) * api.Duration(10*time.Millisecond)}
	case 13, 14:
		return randomArrange(random, state)
	case 0, 1, 2:
		registration := node(string(id), 1+n+random.IntN(2)*10)
		if n%2 == 0 {
			registration.OnDown = api.OnDownReset
		}
		registration.StoreID = api.StoreID(fmt.Sprintf("%032x", random.IntN(2)))
		registration.Boot = uint64(random.IntN(5))
		registration.Replace = random.IntN(2) == 0
		return Register{registration}
	case 3, 4:
		if known := state.Node(id); known != nil {
			statuses := []api.NodeStatus{api.NodeUp, api.NodeSuspect, api.NodeDown}
			return Status{[]Transition{{Node: id, Session: known.Session, Status: statuses[random.IntN(3)]}}}
		}
		return Rebalance{}
	case 5:
		return Drain{Node: id, On: random.IntN(2) == 0}
	case 6:
		weight := random.IntN(12)
		return Patch{Node: id, Patch: api.NodePatch{Weight: &weight}}
	case 7:
		return Remove{Node: id, Force: random.IntN(3) == 0}
	case 8:
		return Settings{NoKey: []api.NoKey{api.NoKeyAny, api.NoKeyReject}[random.IntN(2)], Keys: []string{"query:a", "header:b"}[:1+random.IntN(2)], Force: true}
	case 9:
		return Hold{Changes: state.pending}
	default:
		want := make([]ring.NodeIndex, state.SlotCount())
		for slot := range want {
			want[slot] = ring.NoNode
			if len(state.byID) > 0 {
				want[slot] = ring.NodeIndex(state.byID[random.IntN(len(state.byID))])
			}
		}
		return Want{Base: state.Number - uint64(random.IntN(2)), Want: PackWant(want), Changes: state.pending}
	}
}

// TestLevelSaysWhatItWas: raising the level changes no ring, and is no "nothing changed" all the same.
func TestLevelSaysWhatItWas(t *testing.T) {
	h := newHistory(t)
	if note := h.must(Level{Level: 2}).Note; note != "the cluster stands at level 2 now, and was at 1" {
		t.Error(note)
	}
	if note := h.must(Level{Level: 2}).Note; note != "the cluster stands at level 2, as before" {
		t.Error(note)
	}
}
