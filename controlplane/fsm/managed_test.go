package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// managed is a cluster whose nodes replicate slots, at the newest level.
func managed(t testing.TB, replicas int) *history {
	h := &history{t: t, state: New()}
	settings := testSettings()
	settings.State, settings.Replicas = api.StateManaged, replicas
	h.must(Bootstrap{Cluster: testCluster, Settings: settings, Level: LevelSupported})
	return h
}

// trio is a managed cluster of n1, n2 and n3, which share the slots.
func trio(t testing.TB, replicas int) *history {
	h := managed(t, replicas)
	for i := range 3 {
		h.must(stored(fmt.Sprintf("n%d", i+1), i+1, 'a', 1))
	}
	h.want(h.rows("n1 n2 n3", "n2 n3 n1", "n3 n1 n2"))
	return h
}

// stored registers a node with a store on disk, at its boot-th start.
func stored(id string, port int, store byte, boot uint64) Register {
	registration := node(id, port)
	registration.State, registration.StoreID = api.StateManaged, storeOf(id, store)
	registration.Boot, registration.Nonce = boot, fmt.Sprint(id, store, boot)
	registration.Reports = true
	return Register{registration}
}

func storeOf(id string, store byte) api.StoreID {
	return api.StoreID(strings.Repeat(string(store), 31) + id[len(id)-1:])
}

// rows wants the slots to be held as the given rows say, in turn.
func (h *history) rows(rows ...string) []ring.NodeIndex {
	h.t.Helper()
	replicas := h.state.Settings.Replicas
	want := slices.Repeat([]ring.NodeIndex{ring.NoNode}, h.state.SlotCount()*replicas)
	for slot := range h.state.SlotCount() {
		for i, id := range strings.Fields(rows[slot%len(rows)]) {
			if i < replicas {
				want[slot*replicas+i] = h.state.Node(api.NodeID(id)).Index
			}
		}
	}
	return want
}

// want settles what is pending with a plan.
func (h *history) want(rows []ring.NodeIndex) Result {
	h.t.Helper()
	return h.must(Want{Base: h.state.PlanBase(), Want: PackWant(rows), Changes: h.state.pending})
}

func (h *history) status(id string, status api.NodeStatus) {
	h.t.Helper()
	h.must(Status{[]Transition{{Node: api.NodeID(id), Session: h.state.Node(api.NodeID(id)).Session, Status: status}}})
}

// propose has a node ask for the next configuration of a slot, and answers why it does not stand. isr names
// nodes, with the stores that they are registered with; the first is the primary.
func (h *history) propose(by string, slot ring.Slot, kind, isr string) string {
	h.t.Helper()
	return h.cas(by, api.SlotProposal{Slot: slot, Base: h.state.Slot(slot).Epoch, Kind: kind, ISR: h.members(isr), Primary: h.members(isr)[0].Node})
}

func (h *history) cas(by string, proposal api.SlotProposal) string {
	h.t.Helper()
	node := h.state.Node(api.NodeID(by))
	result := h.must(Cas{Node: api.NodeID(by), Session: node.Session, Generation: h.state.Generation, Proposals: []api.SlotProposal{proposal}})
	return result.Verdicts[0].Refusal
}

func (h *history) members(ids string) (list []api.Replica) {
	for _, id := range strings.Fields(ids) {
		list = append(list, api.Replica{Node: api.NodeID(id), Store: h.state.Node(api.NodeID(id)).Registration.StoreID})
	}
	return list
}

// shown is a slot as people write it: epoch, primary and the others in sync, what is wanted.
func (h *history) shown(slot ring.Slot) string {
	config := h.state.SlotConfig(slot)
	var isr []string
	for _, replica := range config.ISR {
		isr = append(isr, string(replica.Node))
	}
	text := fmt.Sprintf("%d %v", config.Epoch, isr)
	if config.Recovering {
		text += " recovering"
	}
	return text + fmt.Sprintf(" want %v", config.Want)
}

func (h *history) expect(slot ring.Slot, want string) {
	h.t.Helper()
	if got := h.shown(slot); got != want {
		h.t.Errorf("slot %d is %s, want %s", slot, got, want)
	}
}

func (h *history) newest() *Change {
	change, _ := h.state.Change(h.state.NewestChange())
	return change
}

func TestFirstWantIsAssigned(t *testing.T) {
	h := trio(t, 2)
	h.expect(0, "1 [n1 n2] want [n1 n2]")
	h.expect(1, "1 [n2 n3] want [n2 n3]")
	if config := h.state.SlotConfig(0); config.Kind != "assign" || config.ISR[0].Store != storeOf("n1", 'a') {
		t.Errorf("got %+v", config)
	}
	change := h.newest()
	if change.Status != api.ChangeDone || change.Progress.Done != 256 || change.Progress.Total != 256 || change.Finished == 0 {
		t.Errorf("the change is %+v", change)
	}
	if earlier, _ := h.state.Change(change.ID - 1); earlier.Status != api.ChangeDone || earlier.With != change.ID {
		t.Errorf("what was planned with it is %+v", earlier)
	}
}

// TestMove is a move as a primary makes it: add, hand over, drop.
func TestMove(t *testing.T) {
	h := trio(t, 1)
	h.must(Drain{Node: "n1", On: true})
	drain := h.state.NewestChange()
	h.want(h.rows("n2", "n2", "n3"))
	h.expect(0, "1 [n1] want [n2]")
	running, _ := h.state.Change(drain)
	if running.Status != api.ChangeRunning || running.Progress.Done != 0 || running.Progress.Total != 86 {
		t.Fatalf("the drain is %+v", running)
	}
	told := h.state.EventID(running)
	refused := func(want, by, kind, isr string) {
		t.Helper()
		if got := h.propose(by, 0, kind, isr); got != want {
			t.Errorf("%s by %s to %s: %q, want %q", kind, by, isr, got, want)
		}
	}
	refused("not_primary", "n2", "expand", "n1 n2")
	refused("malformed", "n1", "force", "n1")
	refused("malformed", "n1", "promote", "n1 n2")
	refused("malformed", "n1", "nonsense", "n1 n2")
	refused("not_in_sync", "n2", "transfer", "n2")
	refused("", "n1", "expand", "n1 n2")
	h.expect(0, "2 [n1 n2] want [n2]")
	refused("", "n2", "transfer", "n2")
	h.expect(0, "3 [n2] want [n2]")
	if again := h.cas("n2", api.SlotProposal{Slot: 0, Base: 2, Kind: "transfer", Primary: "n2", ISR: h.members("n2")}); again != "" || h.state.Slot(0).Epoch != 3 {
		t.Errorf("told again: %q, %s", again, h.shown(0))
	}
	if late := h.cas("n1", api.SlotProposal{Slot: 0, Base: 2, Kind: "abort", Primary: "n1", ISR: h.members("n1 n2")}); late != "stale_epoch" {
		t.Errorf("a late one: %q", late)
	}
	running, _ = h.state.Change(drain)
	if running.Progress.Done != 1 || h.state.EventID(running) != told {
		t.Errorf("progress is no news: %+v", running)
	}
	for slot := ring.Slot(3); slot < 256; slot += 3 {
		h.propose("n1", slot, "expand", "n1 n2")
		h.propose("n2", slot, "transfer", "n2")
	}
	done, _ := h.state.Change(drain)
	if done.Status != api.ChangeDone || done.Progress.Done != 86 || done.Updated != h.state.Index || done.Last != h.state.Version() {
		t.Errorf("the drain is %+v", done)
	}
}

func TestCasIsRefusedAsAWhole(t *testing.T) {
	h := trio(t, 2)
	session := h.state.Node("n1").Session
	one := []api.SlotProposal{{Slot: 0}}
	h.refuse(api.CodeNodeUnknown, Cas{Node: "n9", Session: session, Generation: 1, Proposals: one})
	h.refuse(api.CodeUnknownSession, Cas{Node: "n1", Session: "1-1", Generation: 1, Proposals: one})
	h.refuse(api.CodeConflict, Cas{Node: "n1", Session: session, Generation: 2, Proposals: one})
	h.refuse(api.CodeInvalid, Cas{Node: "n1", Session: session, Generation: 1})
	h.refuse(api.CodeInvalid, Cas{Node: "n1", Session: session, Generation: 1, Proposals: make([]api.SlotProposal, 65)})
	h.refuse(api.CodeRingGeometry, Cas{Node: "n1", Session: session, Generation: 1, Proposals: []api.SlotProposal{{Slot: 256}}})
	none := pair(t)
	none.refuse(api.CodeConflict, Cas{Node: "n1", Session: none.state.Node("n1").Session, Generation: 1, Proposals: one})
}

func TestProposalsAreDecidedEachByItself(t *testing.T) {
	h := trio(t, 1)
	version := h.state.Number
	result := h.must(Cas{Node: "n1", Session: h.state.Node("n1").Session, Generation: 1, Proposals: []api.SlotProposal{
		{Slot: 0, Base: 1, Kind: "expand", Primary: "n1", ISR: h.members("n1 n2")},
		{Slot: 1, Base: 1, Kind: "expand", Primary: "n1", ISR: h.members("n1 n2")},
		{Slot: 3, Base: 1, Kind: "abort", Primary: "n1", ISR: h.members("n1")},
	}})
	var refusals []string
	for _, verdict := range result.Verdicts {
		refusals = append(refusals, verdict.Refusal)
	}
	if !slices.Equal(refusals, []string{"", "not_primary", ""}) || h.state.Number != version+1 {
		t.Errorf("got %q at version %d after %d", refusals, h.state.Number, version)
	}
	if news := h.state.SlotsSince(h.state.Index-1, false); len(news) != 2 || news[0].Slot != 0 || news[1].Epoch != 2 || h.state.SlotsIndex() != h.state.Index {
		t.Errorf("the news is %+v", news)
	}
}

func TestPromotion(t *testing.T) {
	h := trio(t, 2)
	h.status("n1", api.NodeDown)
	h.expect(0, "2 [n2] want [n1 n2]")
	h.expect(1, "1 [n2 n3] want [n2 n3]")
	h.expect(2, "1 [n3 n1] want [n3 n1]")
	if change := h.newest(); change.Kind != "expire" || change.Progress.Done != 86 || change.Lossy || !strings.Contains(change.Detail, "86 slots went to replicas in sync, 0 wait") {
		t.Errorf("history says %+v", change)
	}
	h.status("n2", api.NodeDown)
	h.expect(0, "2 [n2] want [n1 n2]") // stranded
	h.expect(1, "2 [n3] want [n2 n3]")
	h.must(stored("n2", 2, 'a', 2))
	h.expect(0, "3 [n2] want [n1 n2]")
	h.status("n3", api.NodeDown)
	h.status("n2", api.NodeDown)
	h.expect(2, "1 [n3 n1] want [n3 n1]") // both down
	h.must(stored("n1", 1, 'a', 2))
	h.expect(2, "2 [n1] want [n3 n1]")
}

// A primary that is alone and held for down brings another in sync: nobody else would look at the slot, so that one
// takes over there and then.
func TestPrimaryThatIsDownExpands(t *testing.T) {
	h := trio(t, 2)
	h.cas("n1", api.SlotProposal{Slot: 0, Base: h.state.Slot(0).Epoch, Kind: "shrink", ISR: h.members("n1"), Primary: "n1", Silent: true})
	h.status("n1", api.NodeDown)
	epoch := h.state.Slot(0).Epoch
	if refusal := h.propose("n1", 0, "expand", "n1 n2"); refusal != "" {
		t.Fatal(refusal)
	}
	h.expect(0, fmt.Sprintf("%d [n2] want [n1 n2]", epoch+2))
	if err := h.state.Check(); err != nil {
		t.Error(err)
	}
}

func TestRestartedProcesses(t *testing.T) {
	h := trio(t, 2)
	again := stored("n1", 1, 'a', 1)
	session := h.must(again).Node.Session
	h.expect(0, "1 [n1 n2] want [n1 n2]")
	if next := h.must(stored("n1", 1, 'a', 2)).Node.Session; next == session {
		t.Error("a new process has the old session")
	}
	h.expect(0, "2 [n2 n1] want [n1 n2]") // still in sync, and primary no more
	h.expect(2, "1 [n3 n1] want [n3 n1]")
	alone := trio(t, 1)
	alone.must(stored("n1", 1, 'a', 2))
	alone.expect(0, "2 [n1] want [n1]")
}

// inMemory registers a node whose store is new with each process.
func inMemory(id string, port int, store byte) Register {
	registration := stored(id, port, store, 0).Registration
	registration.Volatile = true
	return Register{registration}
}

// TestOldDiskReturns: a disk that comes back under its node, after another was put in, is a new process as well.
func TestOldDiskReturns(t *testing.T) {
	h := trio(t, 1)
	other := stored("n1", 1, 'b', 1)
	other.Registration.Replace = true
	h.status("n1", api.NodeDown)
	h.must(other)
	h.expect(0, "1 [n1] want [n1]")
	h.status("n1", api.NodeDown)
	old := stored("n1", 1, 'a', 2)
	old.Registration.Replace = true
	h.must(old)
	h.expect(0, "2 [n1] want [n1]")
}

// TestRemovedNodesStayAway: neither the process that runs on nor one that a machine starts again comes back; a person
// can have it back, and who has another store is another.
func TestRemovedNodesStayAway(t *testing.T) {
	h := trio(t, 2)
	h.must(Remove{Node: "n3"})
	for boot := range uint64(3) {
		h.refuse(api.CodeNodeRemoved, stored("n3", 3, 'a', 1+boot))
	}
	running := stored("n3", 3, 'a', 1)
	running.Registration.Replace = true
	h.refuse(api.CodeNodeRemoved, running)
	var err error
	if h.state, err = DecodeState(bytes.NewReader(encode(t, h.state))); err != nil {
		t.Fatal(err)
	}
	h.refuse(api.CodeNodeRemoved, stored("n3", 3, 'a', 2))
	h.must(stored("n4", 4, 'a', 1))
	again := stored("n3", 3, 'a', 2)
	again.Registration.Replace = true
	h.must(again)
	h.must(stored("n3", 3, 'a', 3))
	h.must(Remove{Node: "n3"})
	h.must(stored("n3", 3, 'b', 1))
	h.must(Arrange{
		Base: h.state.PlanBase(), Seen: h.state.lastID, Edits: Edits{Remove: []api.NodeID{"n3"}}, Want: PackWant(h.rows("n1 n2", "n2 n4")),
	})
	h.refuse(api.CodeNodeRemoved, stored("n3", 3, 'b', 2))
}

func TestRemovedNodesAreForgottenOneDay(t *testing.T) {
	h := managed(t, 1)
	for i := range removedKept + 1 {
		h.must(stored(fmt.Sprintf("m%d", i), 1, 'a', 1))
		h.must(Remove{Node: api.NodeID(fmt.Sprintf("m%d", i)), Force: true})
	}
	h.must(stored("m0", 1, 'a', 1))
	h.refuse(api.CodeNodeRemoved, stored("m1", 2, 'a', 1))
}

// TestForceIsForSlotsNobodyServes: a primary that is up keeps what it acknowledged, whatever an operator typed.
func TestForceIsForSlotsNobodyServes(t *testing.T) {
	h := trio(t, 2)
	h.expect(0, "1 [n1 n2] want [n1 n2]")
	for _, node := range []api.NodeID{"n1", "n2", "n3"} {
		h.refuse(api.CodeSlotServed, Force{Slot: 0, Node: node})
	}
	h.status("n1", api.NodeSuspect)
	h.refuse(api.CodeSlotServed, Force{Slot: 0, Node: "n3"})
	h.status("n1", api.NodeDown)
	h.expect(0, "2 [n2] want [n1 n2]")
	h.refuse(api.CodeSlotServed, Force{Slot: 0, Node: "n3"})
	h.status("n2", api.NodeDown)
	h.must(Force{Slot: 0, Node: "n3"})
	h.expect(0, "3 [n3] want [n1 n2]")
}

func TestEvict(t *testing.T) {
	h := trio(t, 2)
	if got := h.cas("n1", api.SlotProposal{Slot: 0, Base: 1, Kind: "shrink", Primary: "n1", ISR: h.members("n1"), Silent: true}); got != "" {
		t.Fatal(got)
	}
	h.must(Evict{Node: "n1"})
	h.expect(0, "2 [n1] want [n1 n2]")
	h.expect(3, "2 [n2] want [n1 n2]")
	bound := h.state.Bound(h.state.Node("n1"))
	if len(bound) != 1 || bound[0].Slot != 0 || bound[0].Reason != "it has the only copy" {
		t.Errorf("bound: %+v", bound)
	}
	if change := h.newest(); change.Kind != "evict" || change.Status != api.ChangePending || !h.state.Node("n1").Draining {
		t.Errorf("history says %+v", change)
	}
}

func TestRemove(t *testing.T) {
	h := trio(t, 2)
	h.cas("n1", api.SlotProposal{Slot: 0, Base: 1, Kind: "shrink", Primary: "n1", ISR: h.members("n1"), Silent: true})
	h.refuse(api.CodeLastCopy, Remove{Node: "n1"})
	h.must(Remove{Node: "n3"})
	h.expect(1, "2 [n2] want [n2]")
	h.expect(2, "2 [n1] want [n1]")
	if change := h.newest(); change.Status != api.ChangePending || change.Lossy {
		t.Errorf("history says %+v", change)
	}
	h.must(Remove{Node: "n1", Force: true})
	h.expect(0, "3 [] want [n2]")
	if change := h.newest(); !change.Lossy || change.LeavesState != 86 {
		t.Errorf("history says %+v", change)
	}
	h.must(stored("n4", 4, 'a', 1))
	h.want(h.rows("n4 n2", "n2 n4"))
	h.expect(0, "4 [n4] want [n4 n2]")
}

func TestOut(t *testing.T) {
	h := trio(t, 2)
	session := h.state.Node("n1").Session
	if note := h.must(Out{Node: "n1", Session: session}).Note; note == "" {
		t.Error("a node that is up is out")
	}
	h.status("n1", api.NodeDown)
	h.refuse(api.CodeUnknownSession, Out{Node: "n1", Session: "1-1"})
	h.must(Out{Node: "n1", Session: session})
	if change := h.newest(); change.Kind != "out" || change.Status != api.ChangePending || !h.state.Node("n1").Out {
		t.Errorf("history says %+v", change)
	}
	h.status("n1", api.NodeUp)
	if out, _ := h.state.Change(h.state.NewestChange() - 1); out.Status != api.ChangeSuperseded {
		t.Errorf("after its return the out is %s", out.Status)
	}
	if change := h.newest(); change.Kind != "return" || change.Status != api.ChangePending || h.state.Node("n1").Out {
		t.Errorf("history says %+v", change)
	}
}

func TestCancel(t *testing.T) {
	h := trio(t, 2)
	h.must(Drain{Node: "n1", On: true})
	drain := h.state.NewestChange()
	h.want(h.rows("n2 n3", "n2 n3", "n3 n2"))
	h.propose("n1", 0, "expand", "n1 n2 n3")
	h.propose("n2", 0, "transfer", "n2 n3")
	h.expect(0, "3 [n2 n3] want [n2 n3]")
	h.propose("n1", 3, "expand", "n1 n2 n3")
	h.must(Cancel{Change: drain})
	h.expect(0, "3 [n2 n3] want [n2 n3]")
	h.expect(3, "2 [n1 n2 n3] want [n1 n2]")
	h.expect(6, "1 [n1 n2] want [n1 n2]")
	change, _ := h.state.Change(drain)
	if change.Status != api.ChangeCancelled || h.state.Node("n1").Draining || !strings.Contains(change.Detail, "cancelled by test; 170 slots stay") {
		t.Errorf("the drain is %+v", change)
	}
	h.refuse(api.CodeConflict, Cancel{Change: drain})
	h.refuse(api.CodeChangeUnknown, Cancel{Change: 99})
	h.must(Drain{Node: "n1", On: true})
	h.must(Cancel{Change: h.state.NewestChange()})
	if len(h.state.Pending()) != 0 {
		t.Error("a cancelled change is pending")
	}
}

func TestLaterWantEndsAnEarlierChange(t *testing.T) {
	h := trio(t, 1)
	h.must(Drain{Node: "n1", On: true})
	drain := h.state.NewestChange()
	h.want(h.rows("n2", "n2", "n3"))
	h.must(Rebalance{})
	h.want(h.rows("n3", "n2", "n3"))
	change, _ := h.state.Change(drain)
	if change.Status != api.ChangeDone || h.newest().Status != api.ChangeRunning || h.newest().Progress.Total != 86 {
		t.Errorf("%+v, then %+v", change, h.newest())
	}
}

func TestKindsOfNodes(t *testing.T) {
	f := func(want api.Code, field string, edit func(*api.Registration)) {
		t.Helper()
		h := managed(t, 2)
		registration := stored("n1", 1, 'a', 1).Registration
		edit(&registration)
		if problem := h.apply(Register{registration}).Problem; problem == nil || problem.Code != want || problem.Field != field {
			t.Errorf("got %v, want %s in %s", problem, want, field)
		}
	}
	f(api.CodeServiceMismatch, "state", func(r *api.Registration) { r.State = "" })
	f(api.CodeServiceMismatch, "state", func(r *api.Registration) { r.State = api.StateHooks })
	f(api.CodeInvalid, "lease", func(r *api.Registration) { r.Lease = api.LeaseNone })
	f(api.CodeInvalid, "store_id", func(r *api.Registration) { r.StoreID = "" })
	newHistory(t).refuse(api.CodeServiceMismatch, stored("n1", 1, 'a', 1))
	reset := stored("n1", 1, 'a', 1)
	reset.Registration.OnDown = api.OnDownReset
	if h := managed(t, 1); h.must(reset).Node.Resets() {
		t.Error("a node whose state is kept resets")
	}
}

func TestManagedNeedsItsLevel(t *testing.T) {
	settings := testSettings()
	settings.State = api.StateManaged
	h := &history{t: t, state: New()}
	if problem := h.apply(Bootstrap{Cluster: testCluster, Settings: settings, Level: 2}).Problem; problem == nil || problem.Code != api.CodeUnsupported {
		t.Errorf("got %v", problem)
	}
	least := 1
	f := func(want int, command Command) {
		t.Helper()
		if got := LevelOf(By("test"), command); got != want {
			t.Errorf("%T needs level %d, want %d", command, got, want)
		}
	}
	f(1, Bootstrap{Settings: testSettings()})
	f(3, Bootstrap{Settings: settings})
	f(1, Register{node("n1", 1)})
	f(3, stored("n1", 1, 'a', 1))
	f(1, Settings{})
	f(3, Settings{MinInSync: &least})
	f(3, Cas{})
	f(4, Settings{Keys: []string{"query:a", "cookie:sid"}})
	f(4, Settings{Keys: []string{"host:{key...}"}})
	f(4, Settings{Keys: []string{"json:/id"}, MinInSync: &least})
	f(4, Settings{NoKey: api.NoKeySticky})
	f(1, Settings{Keys: []string{"header:cookie", "path:/host:json:{key}"}, NoKey: api.NoKeyAny})
	settings.NoKey = api.NoKeySticky
	f(4, Bootstrap{Settings: settings})
	f(2, Restore{})
}
