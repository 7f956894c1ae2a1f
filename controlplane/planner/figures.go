package planner

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// ringOf is a state's ring as a plan sees it.
type ringOf struct {
	state *fsm.State
	table *ring.Table
}

// held counts the slots that each node index is primary of. A slot that recovers is its node's, which nobody
// serves.
func (r ringOf) held() map[ring.NodeIndex]int {
	if !r.state.Managed() {
		return r.state.SlotsHeld()
	}
	held := make(map[ring.NodeIndex]int)
	for slot := range r.table.Epochs {
		held[r.table.Primary(ring.Slot(slot))]++
	}
	return held
}

// planNodes lists what becomes of each node.
func planNodes(before, after ringOf, command fsm.Arrange, diff api.RingDiff) []api.PlanNode {
	leaves := make(map[api.NodeID]int)
	for _, slot := range diff.Slots {
		if was := primary(slot.Before); was != "" && was != primary(slot.After) {
			leaves[was]++
		}
	}
	nodes := make(map[api.NodeID]api.PlanNode)
	held := before.held()
	for _, node := range before.state.Nodes() {
		is := node.Registration
		nodes[is.ID] = api.PlanNode{ID: is.ID, Weight: is.Weight, Zone: is.Zone, Before: held[node.Index], Leaves: leaves[is.ID]}
	}
	held = after.held()
	for _, node := range after.state.Nodes() {
		is := node.Registration
		listed := nodes[is.ID]
		listed.ID, listed.Weight, listed.Zone, listed.After = is.ID, is.Weight, is.Zone, held[node.Index]
		nodes[is.ID] = listed
	}
	fates := fates(command.Edits)
	list := make([]api.PlanNode, 0, len(nodes))
	for _, node := range nodes {
		node.Fate = fates[node.ID]
		list = append(list, node)
	}
	slices.SortFunc(list, func(a, b api.PlanNode) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func fates(edits fsm.Edits) map[api.NodeID]string {
	fates := make(map[api.NodeID]string)
	for _, added := range edits.Add {
		fates[added.ID] = "add"
	}
	for _, list := range []struct {
		fate string
		ids  []api.NodeID
	}{{"undrain", edits.Undrain}, {"remove", edits.Remove}, {"drain", edits.Drain}} {
		for _, id := range list.ids {
			fates[id] = list.fate
		}
	}
	return fates
}

func primary(owner api.SlotOwner) api.NodeID {
	if len(owner.Replicas) == 0 {
		return ""
	}
	return owner.Replicas[0]
}

// digest stands for who holds what before and after, and for what.
func digest(cause string, diff api.RingDiff) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", cause)
	for _, slot := range diff.Slots {
		fmt.Fprintf(sum, "%d %v %v\n", slot.Slot, slot.Before.Replicas, slot.After.Replicas)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// place is a run of numbers that hash mod N gives to one node: one for each unit of its weight.
type place struct{ first, count int }

// weights are the weights of the nodes that hold slots of a table, by id.
func weights(state *fsm.State, table *ring.Table) []weighted {
	holds := make(map[ring.NodeIndex]bool)
	for slot := range table.Epochs {
		holds[table.Primary(ring.Slot(slot))] = true
	}
	var list []weighted
	for _, node := range state.Nodes() {
		if holds[node.Index] {
			list = append(list, weighted{node.Registration.ID, node.Registration.Weight})
		}
	}
	return list
}

type weighted struct {
	id     api.NodeID
	weight int
}

// moduloShare is the part of all keys that would change nodes if a key's node were number hash mod N of
// the list of nodes, in the order of their ids, each listed once for each unit of its weight (weights
// reduced by what they have in common). It is exact for an evenly spread hash: of the N·M/g pairs of
// numbers that one hash can have before and after, with g = gcd(N, M), those with i ≡ j mod g, all are
// as likely (Chinese remainder theorem); a key stays where both name the same node. Nil: no nodes on
// one side.
func moduloShare(before, after []weighted) *float64 {
	unit := 0
	for _, node := range slices.Concat(before, after) {
		unit = gcd(unit, node.weight)
	}
	was, total := places(before, unit)
	is, newTotal := places(after, unit)
	if total == 0 || newTotal == 0 {
		return nil
	}
	common := gcd(total, newTotal)
	stay := 0
	for id, old := range was {
		stay += congruent(old, is[id], common)
	}
	share := 1 - float64(stay)/(float64(total)/float64(common)*float64(newTotal))
	return &share
}

func places(nodes []weighted, unit int) (byID map[api.NodeID]place, total int) {
	byID = make(map[api.NodeID]place, len(nodes))
	for _, node := range nodes {
		byID[node.id] = place{first: total, count: node.weight / unit}
		total += node.weight / unit
	}
	return byID, total
}

// congruent counts the pairs of one number of each run that leave the same remainder.
func congruent(a, b place, modulus int) (pairs int) {
	for i := range a.count {
		// the first number of b that is congruent to a.first + i, and every modulus-th after it
		offset := ((a.first+i-b.first)%modulus + modulus) % modulus
		if offset < b.count {
			pairs += (b.count - offset + modulus - 1) / modulus
		}
	}
	return pairs
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
