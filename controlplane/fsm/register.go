package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// register lists a new node, or renews the session of one that is listed.
func (d *draft) register(asked api.Registration) *api.Problem {
	asked = asked.WithDefaults()
	asked.Reports = asked.Reports && d.state.Level >= 2
	if d.state.Managed() {
		asked.OnDown = api.OnDownWait // what it holds is not lost with it
	}
	if problem := asked.Validate(); problem != nil {
		return problem
	}
	if problem := d.checkFits(asked); problem != nil {
		return problem
	}
	known := d.state.Node(asked.ID)
	if known == nil {
		if problem := d.state.checkRemoved(asked); problem != nil {
			return problem
		}
		if problem := d.list(asked); problem != nil {
			return problem
		}
	} else {
		if problem := checkTakeover(known, asked); problem != nil {
			return problem
		}
		d.renew(known, asked)
	}
	d.expectReport(d.result.Node)
	return nil
}

// checkFits refuses a node of another service, another geometry, at a live node's address, or at one that older
// members do not understand.
func (d *draft) checkFits(asked api.Registration) *api.Problem {
	settings := d.state.Settings
	if needsH2C(asked) && d.state.Level < H2CLevel {
		return api.NewProblem(api.CodeUnsupported, "addresses of %s need level %d, the cluster stands at %d", api.SchemeH2C, H2CLevel, d.state.Level).InField("address")
	}
	if problem := d.state.checkKind(asked); problem != nil {
		return problem
	}
	if asked.Cluster != "" && asked.Cluster != d.state.Cluster {
		return api.NewProblem(api.CodeWrongCluster, "this is cluster %s, the node belongs to %s", d.state.Cluster, asked.Cluster).InField("cluster")
	}
	if asked.Service != "" && asked.Service != settings.Service {
		return api.NewProblem(api.CodeServiceMismatch, "this cluster serves %s, not %s", settings.Service, api.Clip(asked.Service)).InField("service")
	}
	if asked.SlotBits != 0 && asked.SlotBits != settings.SlotBits {
		return api.NewProblem(api.CodeRingGeometry, "this ring has 2^%d slots, not 2^%d", settings.SlotBits, asked.SlotBits).InField("slot_bits")
	}
	for _, other := range d.state.nodes {
		if other == nil || other.Registration.ID == asked.ID || other.Status == api.NodeDown || other.unheard() {
			continue
		}
		if api.HostPort(other.Registration.Address) == api.HostPort(asked.Address) {
			return api.NewProblem(api.CodeAddressInUse, "node %s is registered at %s", other.Registration.ID, asked.Address).InField("address")
		}
	}
	return nil
}

func (d *draft) list(asked api.Registration) *api.Problem {
	node, problem := d.enlist(asked)
	if problem != nil {
		return problem
	}
	d.addChange("register", asked.ID, api.ChangePending)
	d.result.Node, d.result.Created = node, true
	return nil
}

// enlist puts a new node on the list.
func (d *draft) enlist(asked api.Registration) (*Node, *api.Problem) {
	index, free := d.freeIndex()
	if !free {
		return nil, api.NewProblem(api.CodeOverloaded, "the ring lists its most nodes, %d", ring.NoNode)
	}
	node := &Node{
		Index: index, Registration: asked, Session: d.newSession(),
		Status: api.NodeUp, Since: d.header.Time, Registered: d.header.Time,
	}
	place, _ := d.state.place(asked.ID)
	d.setNode(index, node)
	d.state.byID = slices.Insert(slices.Clone(d.state.byID), place, uint16(index))
	d.state.removed = d.state.removedBut(asked)
	return node, nil
}

func (d *draft) freeIndex() (ring.NodeIndex, bool) {
	if len(d.state.byID) < len(d.state.nodes) {
		return ring.NodeIndex(slices.Index(d.state.nodes, nil)), true
	}
	return ring.NodeIndex(len(d.state.nodes)), len(d.state.nodes) < int(ring.NoNode)
}

// newSession begins a session. It is news to those that hold slots, the node itself above all: what it reads
// from here on is meant for it.
func (d *draft) newSession() api.SessionID {
	d.state.slotsIndex = d.state.Index
	return api.SessionID(fmt.Sprintf("%d-%d", d.state.Generation, d.state.Index))
}

// checkTakeover decides whether a registration may speak for a node that is listed already.
func checkTakeover(known *Node, asked api.Registration) *api.Problem {
	is := known.Registration
	if asked.Nonce != "" && asked.Nonce == is.Nonce && asked.StoreID == is.StoreID {
		return nil
	}
	if asked.StoreID == is.StoreID {
		if asked.StoreID != "" && asked.Boot <= is.Boot && (asked.Boot != 0 || is.Boot != 0) {
			return api.NewProblem(api.CodeStaleBoot, "start %d of node %s registered already; this is start %d", is.Boot, is.ID, asked.Boot).InField("boot")
		}
		if asked.StoreID == "" && asked.Address != is.Address && known.Status != api.NodeDown && !known.Static() && !known.unheard() {
			return api.NewProblem(api.CodeNodeIDInUse, "node %s is up at %s", is.ID, is.Address).InField("id").
				WithNext("choose another id, or stop that node first")
		}
		return nil
	}
	return checkOtherStore(known, asked)
}

// checkOtherStore: the same name over another store is another replica. A store that lives in its
// process is new at each start, so there it is enough that the predecessor fell silent.
func checkOtherStore(known *Node, asked api.Registration) *api.Problem {
	is := known.Registration
	if known.unheard() && (asked.Replace || asked.Volatile && is.Volatile) {
		return nil
	}
	if known.Status != api.NodeDown {
		if asked.Volatile && is.Volatile {
			if known.Status == api.NodeSuspect {
				return nil
			}
			return api.NewProblem(api.CodeNodeAlive, "node %s was heard of a moment ago; it is taken over once it is silent", is.ID).InField("id")
		}
		return api.NewProblem(api.CodeNodeIDInUse, "node %s is up with another store", is.ID).InField("id").
			WithNext("choose another id, or stop that node first")
	}
	if asked.Replace || asked.Volatile && is.Volatile || is.StoreID == "" {
		return nil
	}
	return api.NewProblem(api.CodeNodeIDInUse, "node %s has another store; its state would be given up", is.ID).InField("store_id").
		WithNext(`bring that store back, or register with "replace": true`)
}

// renew gives a listed node a new session and what the registration changes.
func (d *draft) renew(known *Node, asked api.Registration) {
	is := known.Registration
	if asked.Nonce != "" && asked.Nonce == is.Nonce && known.Status != api.NodeDown && asked.Address == is.Address && known.Session != "" {
		d.result.Node = known
		return
	}
	node := *known
	asked.Weight, asked.Zone = is.Weight, is.Zone // an operator's word outlives a restart: PATCH changes them
	asked.Replace = false
	node.Registration = asked
	node.Session, node.Left, node.Out = d.newSession(), false, false
	wasDown, otherStore := known.Status == api.NodeDown, is.StoreID != asked.StoreID
	if known.Status != api.NodeUp {
		node.Status, node.Since, node.Held = api.NodeUp, d.header.Time, false
	}
	d.setNode(node.Index, &node)
	d.result.Node = &node
	if d.state.Managed() {
		d.renewManaged(known, &node)
		return
	}
	switch {
	case otherStore && is.StoreID != "":
		d.replaceStore(&node, !known.unheard())
	case wasDown:
		d.returned(&node)
	case asked.Address != is.Address:
		d.addChange("register", asked.ID, api.ChangeDone).Detail = "moved to " + asked.Address
	default:
		d.cause = "register " + string(asked.ID)
	}
}

// replaceStore puts the node's new, empty store in the place of the old one: what that held is lost,
// unless the old one is only what a snapshot remembers.
func (d *draft) replaceStore(node *Node, loses bool) {
	lost := 0
	for i := range d.state.slots.count() {
		slot := d.state.slots.at(ring.Slot(i))
		if slot.Primary != node.Index {
			continue
		}
		slot.Epoch++
		slot.ISR = []Replica{{Node: node.Index, Store: node.Registration.StoreID}}
		slot.Kind, slot.Proposer = KindFlip, ""
		d.setSlot(ring.Slot(i), slot)
		lost++
	}
	status := api.ChangeDone
	if node.Resets() {
		status = api.ChangePending // it may have slots to take back
	}
	change := d.addChange("replace", node.Registration.ID, status)
	change.Lossy = loses && lost > 0
	change.Detail = fmt.Sprintf("another store; %d slots begin empty", lost)
	if !loses {
		change.Detail = "another store than was restored"
	}
}

// returned records that a node came back: one that resets takes part in the ring again.
func (d *draft) returned(node *Node) {
	d.supersedeHeld(node.Registration.ID)
	d.supersedeAwaited(node)
	if node.Resets() || node.Draining {
		d.addChange("return", node.Registration.ID, api.ChangePending)
		return
	}
	change := d.addChange("return", node.Registration.ID, api.ChangeDone)
	change.Detail = "its slots had waited for it"
}
