package api

import "time"

// MaintenanceMax is the longest that a node's absence can be announced for.
const MaintenanceMax = 24 * time.Hour

// PlanNodesMax is how many nodes a plan may name.
const PlanNodesMax = 1000

// MaintenanceAsk is the body of POST /v1/nodes/{id}/maintenance; "0s" ends it.
type MaintenanceAsk struct {
	For *Duration `json:"for"`
}

// ValidateMaintenance reports a time that no maintenance can take.
func ValidateMaintenance(lasts Duration) *Problem {
	if lasts < 0 || time.Duration(lasts) > MaintenanceMax {
		return NewProblem(CodeInvalid, "%v is not between 0s, which ends it, and %v", lasts, MaintenanceMax).InField("for")
	}
	return nil
}

// PlanAsk is the body of POST /v1/ring/plan: changes of nodes to try out, or to apply, together.
type PlanAsk struct {
	Add     []PlanAdd  `json:"add,omitempty"`
	Remove  []NodeID   `json:"remove,omitempty"`
	Drain   []NodeID   `json:"drain,omitempty"`
	Undrain []NodeID   `json:"undrain,omitempty"`
	Weights PlanWeight `json:"weights,omitempty"`
	// Rebalance evens the ring out, nodes that wait with their state included, as adding a node and
	// setting a weight do.
	Rebalance bool `json:"rebalance,omitempty"`
	// Force gives up the last copies of what removed nodes hold.
	Force bool `json:"force,omitempty"`
	// Apply carries the plan out. Expect, a plan's digest, refuses it if it would come out otherwise.
	Apply  bool   `json:"apply,omitempty"`
	Expect string `json:"expect,omitempty"`
}

// PlanWeight is the weight each of some nodes is to have.
type PlanWeight map[NodeID]int

// PlanAdd is a node to take slots: one that is registered, drained or not, or one that is not yet.
type PlanAdd struct {
	ID NodeID `json:"id"`
	// Address registers the node as a static one when the plan is applied; without it a node that is
	// not registered can only be planned for.
	Address string `json:"address,omitempty"`
	Weight  int    `json:"weight,omitempty"`  // 0: 1, or what it has
	Zone    string `json:"zone,omitempty"`    // "": none, or what it has
	OnDown  OnDown `json:"on_down,omitempty"` // of a node that is not registered; wait (default) or reset
}

// Validate reports the first field that cannot stand.
func (p PlanAsk) Validate() *Problem {
	if len(p.Add)+len(p.Remove)+len(p.Drain)+len(p.Undrain)+len(p.Weights) > PlanNodesMax {
		return NewProblem(CodeInvalid, "a plan names at most %d nodes", PlanNodesMax)
	}
	named := planNames{}
	for _, add := range p.Add {
		if problem := named.note("add", add.ID); problem != nil {
			return problem
		}
		if problem := add.validate(); problem != nil {
			return problem
		}
	}
	for _, list := range []struct {
		field string
		ids   []NodeID
	}{{"remove", p.Remove}, {"drain", p.Drain}, {"undrain", p.Undrain}} {
		for _, id := range list.ids {
			if problem := named.note(list.field, id); problem != nil {
				return problem
			}
		}
	}
	return p.Weights.validate(named)
}

func (a PlanAdd) validate() *Problem {
	full := Registration{ID: a.ID, Address: a.Address, Weight: a.Weight, Zone: a.Zone, OnDown: a.OnDown}.WithDefaults()
	if full.Address == "" {
		full.Address = "127.0.0.1:1" // not asked for
	}
	if problem := full.Validate(); problem != nil {
		return problem.InField("add." + problem.Field)
	}
	return nil
}

// planNames are the nodes a plan named so far, and in which field.
type planNames map[NodeID]string

func (n planNames) note(field string, id NodeID) *Problem {
	if err := id.Validate(); err != nil {
		return NewProblem(CodeInvalid, "%v", err).InField(field)
	}
	if earlier, known := n[id]; known {
		return NewProblem(CodeInvalid, "node %s stands in %s already", id, earlier).InField(field)
	}
	n[id] = field
	return nil
}

func (w PlanWeight) validate(named planNames) *Problem {
	for id, weight := range w {
		if err := id.Validate(); err != nil {
			return NewProblem(CodeInvalid, "%v", err).InField("weights")
		}
		if problem := ValidateWeight(weight); problem != nil {
			return problem.InField("weights." + string(id))
		}
		if field := named[id]; field == "add" || field == "remove" {
			return NewProblem(CodeInvalid, "node %s stands in %s already", id, field).InField("weights." + string(id))
		}
	}
	return nil
}

// RollbackAsk is the body of POST /v1/ring/rollback.
type RollbackAsk struct {
	Change ChangeID `json:"change"` // whose want is to be restored
	DryRun bool     `json:"dry_run,omitempty"`
	Expect string   `json:"expect,omitempty"` // as in PlanAsk
}

// RingPlan answers POST /v1/ring/plan and /v1/ring/rollback: what would change, or did.
type RingPlan struct {
	Cause string `json:"cause"` // what it is for, as history will say
	// Change is the newest change when the plan was made: If-Match "<change>" applies it only as long
	// as that is so.
	Change ChangeID `json:"change"`
	// Digest stands for who holds what before and after; expect it to apply this very plan.
	Digest string `json:"digest"`
	// Slots of the ring, how many of them move to another node, and which part of the ring that is.
	// Minimum is how many must, for the nodes to have these shares.
	Slots   int     `json:"slots"`
	Moved   int     `json:"moved"`
	Share   float64 `json:"share"`
	Minimum int     `json:"minimum"`
	// Modulo is the part of all keys that would move if nodes were chosen by hash mod N: null while the
	// ring has no nodes, before or after.
	Modulo *float64 `json:"modulo"`
	// LeavesState counts the slots that move without their state, Lossy those whose state is given up.
	LeavesState int        `json:"leaves_state"`
	Lossy       int        `json:"lossy"`
	Nodes       []PlanNode `json:"nodes"` // all that are listed before or after, by id
	// Settles lists pending changes that the plan answers as well.
	Settles []ChangeID `json:"settles,omitempty"`
	// Blocked lists what cannot be done. The figures leave it out, and such a plan is not applied.
	Blocked []PlanBlock `json:"blocked,omitempty"`
	// Diff is what the diff of the ring before and after will show.
	Diff    RingDiff `json:"diff"`
	Changes bool     `json:"changes"`           // whether there is anything to do
	Applied *Changed `json:"applied,omitempty"` // nil: nothing was done
	Note    string   `json:"note,omitempty"`
}

// PlanNode is a node's part of a plan.
type PlanNode struct {
	ID     NodeID `json:"id"`
	Weight int    `json:"weight"` // after, or before of one that is removed
	Zone   string `json:"zone,omitempty"`
	Before int    `json:"before"` // slots it is primary of
	After  int    `json:"after"`
	Leaves int    `json:"leaves"` // slots that move off it
	// Fate is what becomes of it: add, remove, drain, undrain; empty: it stays.
	Fate string `json:"fate,omitempty"`
	// Bytes is about how much state stays behind on it, by what it last said of its load; 0: not known.
	Bytes uint64 `json:"bytes,omitempty"`
}

// PlanBlock is a part of a plan that cannot be done.
type PlanBlock struct {
	Field  string `json:"field"` // of the request
	Node   NodeID `json:"node"`
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"`
}
