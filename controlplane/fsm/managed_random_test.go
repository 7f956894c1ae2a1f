package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// managedCommands are some that a trio takes.
func managedCommands(t testing.TB) []Command {
	h := trio(t, 2)
	session := h.state.Node("n1").Session
	return []Command{
		Cas{Node: "n1", Session: session, Generation: 1, Proposals: []api.SlotProposal{
			{Slot: 0, Base: 1, Kind: "expand", Primary: "n1", ISR: h.members("n1 n2 n3")},
			{Slot: 3, Base: 1, Kind: "shrink", Primary: "n1", ISR: h.members("n1"), Silent: true},
		}},
		Evict{Node: "n1"}, Force{Slot: 0, Node: "n3"}, Remove{Node: "n2"}, Cancel{Change: h.state.NewestChange()},
		Status{[]Transition{{Node: "n1", Session: session, Status: api.NodeDown}}},
		Want{Base: h.state.PlanBase(), Want: PackWant(h.rows("n3 n2", "n1 n3"))},
		stored("n1", 1, 'a', 2),
	}
}

// TestRandomManaged drives random commands, restores among them, and checks what must hold whatever they were.
func TestRandomManaged(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 2))
		h := managed(t, 1+int(seed)%3)
		saved := h.state
		for range 150 {
			before := h.state
			switch random.IntN(60) {
			case 0:
				saved = h.state
			case 1:
				if saved.Cluster != "" {
					h.reborn(saved)
				}
			default:
				h.apply(randomManaged(random, h.state))
			}
			checkSuccession(t, before, h.state)
		}
		restored, err := DecodeState(bytes.NewReader(encode(t, h.state)))
		if err != nil || !bytes.Equal(encode(t, restored), encode(t, h.state)) {
			t.Fatalf("seed %d: a snapshot does not come back as it was: %v", seed, err)
		}
	}
}

// checkSuccession: epochs rise with every change of primary or in-sync set, and but for Force, a vacancy, a
// report or an assignment a new primary was in sync before.
func checkSuccession(t *testing.T, before, after *State) {
	t.Helper()
	for i := range before.SlotCount() {
		was, is := before.Slot(ring.Slot(i)), after.Slot(ring.Slot(i))
		same := was.Primary == is.Primary && slices.Equal(was.ISR, is.ISR)
		if is.Epoch < was.Epoch || is.Epoch == was.Epoch && !same {
			t.Fatalf("slot %d went from %+v to %+v", i, was, is)
		}
		if same || is.Primary == ring.NoNode || is.Kind == 16 || is.Kind < 10 {
			continue
		}
		if !slices.Contains(was.ISR, is.ISR[0]) {
			t.Fatalf("slot %d went from %+v to %+v, whose primary was not in sync", i, was, is)
		}
		if is.Updated != after.Index {
			t.Fatalf("slot %d changed at %d and says %d", i, after.Index, is.Updated)
		}
	}
}

func randomManaged(random *rand.Rand, state *State) Command {
	n := random.IntN(6)
	id := api.NodeID(fmt.Sprintf("n%d", n))
	known := state.Node(id)
	var session api.SessionID
	if known != nil {
		session = known.Session
	}
	switch random.IntN(22) {
	case 0, 1:
		boot := uint64(random.IntN(4))
		if known != nil {
			boot += known.Registration.Boot
		}
		command := stored(string(id), 1+n, "aab"[random.IntN(3)], boot)
		command.Registration.Volatile = n%3 == 0
		command.Registration.Replace = random.IntN(2) == 0
		command.Registration.Reports = random.IntN(4) > 0
		return command
	case 2, 3, 4:
		statuses := []api.NodeStatus{api.NodeUp, api.NodeSuspect, api.NodeDown}
		return Status{[]Transition{{Node: id, Session: session, Status: statuses[random.IntN(3)], Left: random.IntN(2) == 0}}}
	case 5:
		return Drain{Node: id, On: random.IntN(2) == 0}
	case 6:
		return Remove{Node: id, Force: random.IntN(3) == 0}
	case 7:
		return Evict{Node: id}
	case 8:
		return Force{Slot: ring.Slot(random.IntN(300)), Node: id}
	case 9:
		return Out{Node: id, Session: session}
	case 10:
		return Cancel{Change: state.lastID - api.ChangeID(random.IntN(5))}
	case 11:
		return Hold{Changes: state.pending}
	case 12:
		on := []api.OnLastCopy{api.OnLastCopyWait, api.OnLastCopyRecreate}[random.IntN(2)]
		return Settings{OnLastCopy: &on}
	case 13:
		return Report{Node: id, Session: session, Version: api.Version{Generation: state.Generation - 1}, Configs: randomConfigs(random, state)}
	case 14:
		edits := Edits{Force: random.IntN(2) == 0, Remove: []api.NodeID{id}}
		after, done, _ := state.Edited(edits)
		return Arrange{Base: state.PlanBase(), Seen: state.lastID, Edits: done, Settle: state.pending, Want: PackWant(randomRows(random, after))}
	case 15, 16:
		return Want{Base: state.PlanBase(), Want: PackWant(randomRows(random, state)), Changes: state.pending}
	default:
		command := Cas{Node: id, Session: session, Generation: state.Generation}
		for range 1 + random.IntN(64) {
			command.Proposals = append(command.Proposals, randomProposal(random, state, known))
		}
		return command
	}
}

// randomProposal is one that may well stand.
func randomProposal(random *rand.Rand, state *State, by *Node) api.SlotProposal {
	slot := ring.Slot(random.IntN(state.SlotCount()))
	now := state.SlotConfig(slot)
	proposal := api.SlotProposal{Slot: slot, Base: now.Epoch, Primary: now.Primary, ISR: slices.Clone(now.ISR), Silent: random.IntN(2) == 0}
	proposal.Kind = []string{"expand", "shrink", "transfer", "abort", "yield"}[random.IntN(5)]
	switch {
	case proposal.Kind == "expand" && len(state.byID) > 0:
		other := state.Nodes()[random.IntN(len(state.byID))].Registration
		proposal.ISR = append(proposal.ISR, api.Replica{Node: other.ID, Store: other.StoreID})
	case proposal.Kind == "shrink" && len(proposal.ISR) > 1:
		proposal.ISR = proposal.ISR[:1]
	case proposal.Kind == "transfer" && by != nil:
		proposal.Primary = by.Registration.ID
		if random.IntN(2) == 0 && len(proposal.ISR) > 1 {
			proposal.ISR = proposal.ISR[1:]
		}
	case proposal.Kind == "yield" && len(proposal.ISR) > 1:
		proposal.Primary = proposal.ISR[1].Node
	}
	return proposal
}

func randomRows(random *rand.Rand, state *State) []ring.NodeIndex {
	var takers []ring.NodeIndex
	for _, node := range state.Nodes() {
		if node.Takes() || random.IntN(4) == 0 && !node.Draining {
			takers = append(takers, node.Index)
		}
	}
	replicas := state.Settings.Replicas
	rows := slices.Repeat([]ring.NodeIndex{ring.NoNode}, state.SlotCount()*replicas)
	for slot := range state.SlotCount() {
		random.Shuffle(len(takers), func(i, j int) { takers[i], takers[j] = takers[j], takers[i] })
		copy(rows[slot*replicas:(slot+1)*replicas], takers)
	}
	return rows
}

func randomConfigs(random *rand.Rand, state *State) (configs []api.SlotConfig) {
	for range random.IntN(40) {
		config := api.SlotConfig{Slot: ring.Slot(random.IntN(state.SlotCount())), Epoch: api.EpochFloor(state.Generation) - api.Epoch(random.IntN(3))}
		for _, n := range random.Perm(7)[:1+random.IntN(3)] {
			id := fmt.Sprintf("n%d", n)
			config.ISR = append(config.ISR, api.Replica{Node: api.NodeID(id), Store: storeOf(id, 'a')})
		}
		config.Primary = config.ISR[random.IntN(len(config.ISR))].Node
		configs = append(configs, config)
	}
	return configs
}
