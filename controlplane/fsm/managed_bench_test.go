package fsm

import (
	"fmt"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// large is a managed cluster of 4,096 slots and many nodes, three replicas a slot.
func large(b *testing.B, nodes int) *history {
	settings := testSettings()
	settings.State, settings.Replicas, settings.SlotBits = api.StateManaged, 3, 12
	h := &history{t: b, state: New()}
	h.run(Bootstrap{Cluster: testCluster, Settings: settings, Level: LevelSupported})
	for i := range nodes {
		h.run(Register{numbered(i, 1)})
	}
	rows := make([]ring.NodeIndex, 0, 3*h.state.SlotCount())
	for slot := range h.state.SlotCount() {
		for i := range 3 {
			rows = append(rows, ring.NodeIndex((3*slot+i)%nodes))
		}
	}
	h.run(Want{Base: h.state.PlanBase(), Want: PackWant(rows), Changes: h.state.pending})
	return h
}

// run applies a command without checking the invariants, which takes longer than the command.
func (h *history) run(command Command) Result {
	h.t.Helper()
	entry, err := Encode(Header{Time: int64(h.state.Index), Origin: By("test")}, command)
	if err != nil {
		h.t.Fatal(err)
	}
	next, result, err := Apply(h.state, h.state.Index+1, entry)
	if err != nil || result.Problem != nil {
		h.t.Fatalf("%T: %v %v", command, err, result.Problem)
	}
	h.state = next
	return result
}

func numbered(i int, boot uint64) api.Registration {
	registration := node(fmt.Sprintf("n%05d", i), 1+i)
	registration.State, registration.StoreID = api.StateManaged, api.StoreID(fmt.Sprintf("%032x", i))
	registration.Boot, registration.Nonce = boot, fmt.Sprint(i, boot)
	return registration
}

func BenchmarkCas64(b *testing.B) {
	h := large(b, 1000)
	for i := 0; b.Loop(); i++ {
		id := api.NodeID(fmt.Sprintf("n%05d", 3*(i%300)))
		known := h.state.Node(id)
		command := Cas{Node: id, Session: known.Session, Generation: 1}
		for j := range api.SlotProposalsMax {
			slot := ring.Slot((i*api.SlotProposalsMax + j) % 4096)
			is := h.state.SlotConfig(slot)
			command.Proposals = append(command.Proposals, api.SlotProposal{Slot: slot, Base: is.Epoch, Kind: "abort", Primary: is.Primary, ISR: is.ISR})
		}
		command.Node, command.Session = id, known.Session
		h.run(command)
	}
}

func BenchmarkRegisterAmong10000(b *testing.B) {
	h := large(b, 10_000)
	for i := 0; b.Loop(); i++ {
		h.run(Register{numbered(i%10_000, uint64(2+i/10_000))})
	}
}

func BenchmarkNodeDown(b *testing.B) {
	h := large(b, 10)
	statuses := []api.NodeStatus{api.NodeDown, api.NodeUp}
	for i := 0; b.Loop(); i++ {
		known := h.state.Node("n00003")
		h.run(Status{[]Transition{{Node: "n00003", Session: known.Session, Status: statuses[i%2]}}})
	}
}
