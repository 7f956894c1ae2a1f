package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Check reports the first invariant of a state that does not hold; the tests ask it after every
// command.
//
//  1. Nodes: the id index is sorted and lists exactly the nodes there are, each at its own index.
//  2. Slots: a primary is listed and a member of the in-sync set; an unassigned slot has none. In-sync sets
//     are of listed nodes, each once; the primary comes first. Where nodes hand slots over, nobody waits for a
//     primary that is down while another in sync is up.
//  3. Wants: listed or since removed, distinct, without gaps. Where nodes hand slots over: all listed.
//  4. Changes: numbered without gaps up to the newest; pending ones are marked so; a running one has as many
//     slots left as there are whose want it set last and that are not as it wanted.
//  5. Versions: numbered without gaps up to the present; each kept one can be rebuilt.
//  6. Members: no id and no name twice, and no name asked for twice.
//  7. Recovery: a slot that recovers awaits a node that is awaited, or one that is not listed; epochs are
//     those of the generation. Where nodes hand slots over, it awaits everybody, while a listed node is awaited,
//     or one that is in its claim; only such a slot has a claim.
func (s *State) Check() error {
	if s.Cluster == "" {
		return nil // nothing can be wrong before there is anything
	}
	for _, check := range []func() error{
		s.checkNodes, s.checkSlots, s.checkReplicas, s.checkWants, s.checkChanges, s.checkProgress, s.checkVersions, s.checkMembers, s.checkRecovery,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) checkNodes() error {
	listed := 0
	for i, node := range s.nodes {
		if node == nil {
			continue
		}
		listed++
		if int(node.Index) != i {
			return fmt.Errorf("node %s says index %d and stands at %d", node.Registration.ID, node.Index, i)
		}
		if s.Node(node.Registration.ID) != node {
			return fmt.Errorf("node %s is not found by its id", node.Registration.ID)
		}
	}
	if listed != len(s.byID) {
		return fmt.Errorf("%d nodes stand in the table, %d in the id index", listed, len(s.byID))
	}
	return nil
}

func (s *State) checkSlots() error {
	for i := range s.slots.count() {
		slot := s.slots.at(ring.Slot(i))
		if slot.Primary == ring.NoNode {
			if len(slot.ISR) != 0 {
				return fmt.Errorf("slot %d is unassigned and has an in-sync set", i)
			}
			continue
		}
		if s.NodeAt(slot.Primary) == nil {
			return fmt.Errorf("slot %d has primary %d, which is not listed", i, slot.Primary)
		}
		inSync := false
		for _, replica := range slot.ISR {
			inSync = inSync || replica.Node == slot.Primary
		}
		if !inSync {
			return fmt.Errorf("slot %d has primary %d outside its in-sync set", i, slot.Primary)
		}
	}
	return nil
}

func (s *State) checkReplicas() error {
	for i := range s.slots.count() {
		slot := s.slots.at(ring.Slot(i))
		if len(slot.ISR) > isrMax || len(slot.ISR) > 0 && slot.ISR[0].Node != slot.Primary {
			return fmt.Errorf("slot %d of primary %d has the in-sync set %v", i, slot.Primary, slot.ISR)
		}
		for j, replica := range slot.ISR {
			twice := slices.ContainsFunc(slot.ISR[:j], func(r Replica) bool { return r.Node == replica.Node })
			if twice || s.NodeAt(replica.Node) == nil {
				return fmt.Errorf("slot %d has %d twice in sync, or not listed", i, replica.Node)
			}
		}
		if s.Managed() && !slot.Recovering() && len(slot.ISR) > 0 && !s.up(slot.ISR[0]) && slices.ContainsFunc(slot.ISR, s.up) {
			return fmt.Errorf("slot %d has a primary that is down, and %v in sync", i, slot.ISR)
		}
		if slot.Updated > s.slotsIndex || s.slotsIndex > s.Index || s.planIndex > s.Index {
			return fmt.Errorf("slot %d changed at %d, the last one at %d", i, slot.Updated, s.slotsIndex)
		}
	}
	return nil
}

func (s *State) checkWants() error {
	for i := range s.slots.count() {
		seen := map[ring.NodeIndex]bool{}
		gap := false
		for _, index := range s.want.row(ring.Slot(i)) {
			if index == ring.NoNode {
				gap = true
				continue
			}
			known := int(index) < len(s.want.names) && s.want.names[index] != ""
			if known && s.Managed() {
				known = s.NodeAt(index) != nil && s.nodes[index].Registration.ID == s.want.names[index]
			}
			if gap || seen[index] || !known {
				return fmt.Errorf("slot %d wants %v", i, s.want.row(ring.Slot(i)))
			}
			seen[index] = true
		}
	}
	return nil
}

func (s *State) checkChanges() error {
	for i, change := range s.changes {
		if want := s.lastID - api.ChangeID(len(s.changes)-1-i); change.ID != want {
			return fmt.Errorf("change %d stands where %d should", change.ID, want)
		}
	}
	for _, change := range s.Pending() {
		if change.Status != "pending" {
			return fmt.Errorf("change %d is listed as pending and is %s", change.ID, change.Status)
		}
	}
	return nil
}

func (s *State) checkVersions() error {
	for i, record := range s.versions.items {
		if want := s.Number - uint64(len(s.versions.items)-1-i); record.Number != want {
			return fmt.Errorf("version %d stands where %d should", record.Number, want)
		}
	}
	past, problem := s.At(s.OldestVersion().Number)
	if problem != nil {
		return problem
	}
	return past.Table.Validate()
}

func (s *State) checkRecovery() error {
	if s.Generation == 0 || s.Generation > api.GenerationMax {
		return fmt.Errorf("there is no generation %d", s.Generation)
	}
	recovering, awaited := 0, 0
	for _, node := range s.nodes {
		awaited += countIf(node.awaited())
	}
	floor := api.EpochFloor(s.Generation)
	for i := range s.slots.count() {
		slot := s.slots.at(ring.Slot(i))
		recovering += countIf(slot.Recovering())
		if floor > 0 && slot.Epoch <= floor || slot.Known > floor {
			return fmt.Errorf("slot %d has epoch %d after %d in generation %d", i, slot.Epoch, slot.Known, s.Generation)
		}
		if !slot.Recovering() {
			if len(slot.Claim) > 0 {
				return fmt.Errorf("slot %d is claimed and does not recover", i)
			}
			continue
		}
		if err := s.checkClaim(ring.Slot(i), slot); err != nil {
			return err
		}
		awaits, holder := s.Node(slot.Awaits), s.NodeAt(slot.Primary)
		if awaits != nil && !awaits.Awaited || holder != nil && holder != awaits {
			return fmt.Errorf("slot %d awaits node %s in vain", i, slot.Awaits)
		}
	}
	if recovering != s.recovering || awaited != s.awaited {
		return fmt.Errorf("%d slots recover and %d nodes are awaited, counted as %d and %d", recovering, awaited, s.recovering, s.awaited)
	}
	return nil
}

func (s *State) checkClaim(number ring.Slot, slot Slot) error {
	everyone := slot.Awaits == everybody
	if everyone && (!s.Managed() || s.awaited == 0) {
		return fmt.Errorf("slot %d awaits everybody, and nobody is awaited", number)
	}
	if s.Managed() && !everyone && !slot.claimedBy(slot.Awaits) {
		return fmt.Errorf("slot %d awaits node %s, which does not claim it", number, slot.Awaits)
	}
	return nil
}
