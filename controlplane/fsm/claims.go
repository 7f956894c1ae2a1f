package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// After a restore, a slot that nodes replicate is served by nobody until every node that is listed has reported,
// and every member of the best in-sync set that is known. The in-sync set alone is not enough: a primary that
// proposed to expand, and was taken for down before it heard that it succeeded, cannot tell of the member that
// was promoted since.

// everybody is what a slot awaits while a listed node has yet to report. It is no node's id.
const everybody api.NodeID = "*"

// claimOf is a slot's in-sync set by ids, the primary first, as its claim after a restore.
func (s *State) claimOf(slot Slot) []api.Replica {
	if slot.Recovering() {
		return slot.Claim
	}
	var claim []api.Replica
	for _, replica := range slot.ISR {
		claim = append(claim, api.Replica{Node: s.nodes[replica.Node].Registration.ID, Store: replica.Store})
	}
	return claim
}

// reclaimed is the slot as it waits for the reports on a claim; the state must list the nodes already.
func (s *State) reclaimed(slot Slot, claim []api.Replica) Slot {
	slot.Primary, slot.ISR, slot.Claim, slot.Awaits = ring.NoNode, nil, claim, ""
	if s.awaited > 0 {
		slot.Awaits = everybody
		return slot
	}
	for _, replica := range claim {
		if s.Node(replica.Node) == nil {
			slot.Awaits = replica.Node
			return slot
		}
	}
	return slot
}

// ReportOfConfigs is the report of a node that had adopted these configurations, as far as they are news to
// the state; those of this generation are not.
func (s *State) ReportOfConfigs(node api.NodeID, session api.SessionID, version api.Version, configs []api.SlotConfig) Report {
	report := Report{Node: node, Session: session, Version: version}
	floor := api.EpochFloor(s.Generation)
	for _, config := range configs {
		if int(config.Slot) < s.slots.count() && config.Epoch > s.slots.at(config.Slot).Known && config.Epoch <= floor && len(config.ISR) > 0 {
			config.Want = nil
			report.Configs = append(report.Configs, config)
		}
	}
	return report
}

func (s *State) checkReported(configs []api.SlotConfig) error {
	if len(configs) > s.slots.count() {
		return fmt.Errorf("%d configurations are more than there are slots", len(configs))
	}
	for _, config := range configs {
		switch {
		case int(config.Slot) >= s.slots.count():
			return fmt.Errorf("there is no slot %d", config.Slot)
		case config.Epoch > api.EpochFloor(s.Generation):
			return fmt.Errorf("epoch %d of slot %d is of this generation", config.Epoch, config.Slot)
		case len(config.ISR) == 0 || len(config.ISR) > isrMax || config.PrimaryReplica().Node == "":
			return fmt.Errorf("the in-sync set of slot %d has no primary, or more than %d members", config.Slot, isrMax)
		}
		for i, replica := range config.ISR {
			if err := replica.Node.Validate(); err != nil {
				return err
			}
			if slices.ContainsFunc(config.ISR[:i], func(r api.Replica) bool { return r.Node == replica.Node }) {
				return fmt.Errorf("slot %d names node %s twice", config.Slot, replica.Node)
			}
		}
	}
	return nil
}

// claimConfig takes over a configuration that a store had adopted, if it is newer than what is known. It
// answers whether that names others than were believed, and whether those have served the slot meanwhile.
func (d *draft) claimConfig(reported api.SlotConfig, by *Node) (changed, served bool) {
	slot := d.state.slots.at(reported.Slot)
	if reported.Epoch <= slot.Known {
		return false, false
	}
	claim := []api.Replica{reported.PrimaryReplica()}
	for _, replica := range reported.ISR {
		if replica != claim[0] {
			claim = append(claim, replica)
		}
	}
	believed := d.state.claimOf(slot)
	slot.Known = reported.Epoch
	if slices.Equal(claim, believed) {
		d.setSlot(reported.Slot, slot)
		return false, false
	}
	served = !slot.Recovering() && slot.Primary != ring.NoNode
	slot.Epoch++
	slot.Kind, slot.Proposer = KindReport, by.Registration.ID
	d.setSlot(reported.Slot, d.state.reclaimed(slot, claim))
	d.open(reported.Slot)
	return true, served
}

// open ends the waiting of a slot once nobody is awaited any more: those in its claim are its in-sync set.
// Where its primary is not up, another takes over. A slot that nobody claims is held by nobody.
func (d *draft) open(slot ring.Slot) {
	was := d.state.slots.at(slot)
	if !was.claimable() {
		return
	}
	is := d.state.reclaimed(was, was.Claim)
	switch {
	case is.Recovering() && is.Awaits == was.Awaits:
		return
	case is.Recovering() || len(is.Claim) == 0:
		d.setSlot(slot, is)
		return
	}
	config := ownership.Config[Replica]{Epoch: is.Epoch + 1}
	for _, replica := range is.Claim {
		config.ISR = append(config.ISR, Replica{Node: d.state.Node(replica.Node).Index, Store: replica.Store})
	}
	config.Primary = config.ISR[0]
	if next, outcome := ownership.Succeed(config, d.state.up, d.state.prefer(slot)); outcome == ownership.Moved {
		config = next
	}
	is.Claim = nil
	d.setSlot(slot, is.with(config, KindReport, is.Proposer))
}

// claimable: the slot recovers, or is about to be held by those that claim it.
func (s Slot) claimable() bool { return s.Recovering() || len(s.Claim) > 0 }

// disclaim takes a node that will not report out of a slot's claim, and reports whether nobody is left in it.
// Others may yet know better.
func (d *draft) disclaim(slot ring.Slot, id api.NodeID) (lost bool) {
	is := d.state.slots.at(slot)
	is.Claim = slices.DeleteFunc(slices.Clone(is.Claim), func(r api.Replica) bool { return r.Node == id })
	if len(is.Claim) > 0 || d.state.awaited > 0 {
		d.setSlot(slot, d.state.reclaimed(is, is.Claim))
		d.open(slot)
		return len(is.Claim) == 0
	}
	d.setSlot(slot, is.vacated())
	return true
}

// openAll opens what recovers, once no listed node is awaited: until then nothing can be.
func (d *draft) openAll() {
	for i := range d.state.slots.count() * countIf(d.state.recovering > 0 && d.state.awaited == 0) {
		d.open(ring.Slot(i))
	}
}
