package planner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// TestPlansAreCarriedOut: whatever happened to the nodes, once they are all back, planned, and their primaries
// have done what package ownership tells them, every slot is as it is wanted and every change is over.
func TestPlansAreCarriedOut(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 3))
		w := newManaged(t, 1+int(seed)%3, 5, "a", "b", "c")
		for range 40 {
			w.try(w.anything(random))
			if random.IntN(3) == 0 {
				w.now = w.now.Add(policy.Delay)
				w.settle()
			}
			w.reconcile(random.IntN(200))
		}
		w.heal()
		w.reconcile(1 << 20)
		if w.state.Number < 1000 {
			t.Errorf("seed %d: only %d versions: next to nothing moved", seed, w.state.Number)
		}
		for _, slot := range w.state.SlotsSince(0, true) {
			if len(slot.Want) != w.state.Settings.Replicas || len(slot.ISR) != len(slot.Want) || slot.Primary != slot.Want[0] {
				t.Fatalf("seed %d: %+v", seed, slot)
			}
		}
		changes, _ := w.state.Changes(0, maxInt)
		for _, change := range changes {
			if change.Status == api.ChangeRunning || change.Status == api.ChangePending {
				t.Errorf("seed %d: %+v", seed, change.Show())
			}
		}
		if err := w.state.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// try applies a command that may be refused.
func (w *world) try(command fsm.Command) {
	w.t.Helper()
	w.now = w.now.Add(time.Millisecond)
	entry, err := fsm.Encode(fsm.At(w.now, fsm.By("test")), command)
	if err != nil {
		w.t.Fatal(err)
	}
	next, result, err := fsm.Apply(w.state, w.state.Index+1, entry)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.state = next; w.seen[result.Change].IsZero() {
		w.seen[result.Change] = w.now
	}
}

func (w *world) anything(random *rand.Rand) fsm.Command {
	id := api.NodeID(fmt.Sprintf("n%d", 1+random.IntN(5)))
	node := w.state.Node(id)
	switch random.IntN(9) {
	case 0, 1:
		return fsm.Drain{Node: id, On: random.IntN(2) == 0}
	case 2:
		return fsm.Evict{Node: id}
	case 3, 4:
		return fsm.Status{Transitions: []fsm.Transition{{Node: id, Session: node.Session, Status: api.NodeDown}}}
	case 5:
		return fsm.Status{Transitions: []fsm.Transition{{Node: id, Session: node.Session, Status: api.NodeUp}}}
	case 6:
		return fsm.Out{Node: id, Session: node.Session}
	case 7:
		return fsm.Cancel{Change: w.state.NewestChange() - api.ChangeID(random.IntN(3))}
	default:
		weight := 1 + random.IntN(3)
		return fsm.Patch{Node: id, Patch: api.NodePatch{Weight: &weight}}
	}
}

// heal brings every node back, and has what is due planned.
func (w *world) heal() {
	for _, node := range w.state.Nodes() {
		id := node.Registration.ID
		w.try(fsm.Status{Transitions: []fsm.Transition{{Node: id, Session: node.Session, Status: api.NodeUp}}})
		w.try(fsm.Drain{Node: id})
	}
	w.try(fsm.Rebalance{})
	w.now = w.now.Add(policy.Delay)
	for w.settle() >= 0 {
	}
}

// reconcile takes at most so many steps of the slots' primaries.
func (w *world) reconcile(steps int) {
	for progress := true; progress && steps > 0; {
		progress = false
		for slot := range w.state.SlotCount() {
			if steps > 0 && w.step(ring.Slot(slot)) {
				progress = true
				steps--
			}
		}
	}
}

// step takes the next step of a slot's primary; false: there is none, or the primary is down.
func (w *world) step(slot ring.Slot) bool {
	is := w.state.SlotConfig(slot)
	if is.Primary == "" || !w.up(is.PrimaryReplica()) {
		return false
	}
	view := ownership.View[api.Replica]{
		Config: ownership.Config[api.Replica]{Epoch: is.Epoch, Primary: is.PrimaryReplica(), ISR: is.ISR},
		Of: func(r api.Replica) ownership.Standing {
			up := w.up(r)
			return ownership.Standing{Up: up, Silent: !up, CaughtUp: true, Known: true}
		},
	}
	for _, id := range is.Want {
		view.Want = append(view.Want, api.Replica{Node: id, Store: w.state.Node(id).Registration.StoreID})
	}
	proposal := api.SlotProposal{Slot: slot, Base: is.Epoch, Primary: is.Primary, ISR: is.ISR}
	by := is.Primary
	switch step := ownership.Next(view); step.Act {
	case ownership.Propose:
		proposal.Kind, proposal.ISR, proposal.Silent = step.Kind.String(), step.ISR, step.Silent
	case ownership.JoinIt:
		proposal.Kind, proposal.ISR = "expand", append(slices.Clone(is.ISR), step.Member)
	case ownership.HandOver:
		by = step.Member.Node
		proposal.Kind, proposal.Primary = "transfer", by
	default:
		return false
	}
	result := w.apply(fsm.Cas{Node: by, Session: w.state.Node(by).Session, Generation: 1, Proposals: []api.SlotProposal{proposal}})
	if refusal := result.Verdicts[0].Refusal; refusal != "" {
		w.t.Fatalf("%s of slot %d, %+v, is refused: %s", proposal.Kind, slot, is, refusal)
	}
	return true
}

func (w *world) up(r api.Replica) bool {
	node := w.state.Node(r.Node)
	return node != nil && node.Status != api.NodeDown && node.Registration.StoreID == r.Store
}
