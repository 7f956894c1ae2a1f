package api

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Replica is one member of an in-sync set: a node together with its store, since a node that lost its store
// is another replica.
type Replica struct {
	Node  NodeID  `json:"node"`
	Store StoreID `json:"store,omitempty"`
}

// SlotConfig is the configuration of one slot: who serves it, who has all of its state, who should.
type SlotConfig struct {
	Slot    Slot      `json:"slot"`
	Epoch   Epoch     `json:"epoch"`
	Primary NodeID    `json:"primary,omitempty"` // empty: nobody
	ISR     []Replica `json:"isr,omitempty"`     // in-sync set, the primary first
	Want    []NodeID  `json:"want,omitempty"`    // who should hold it, the primary first
	// Kind, Proposer: what last changed primary or in-sync set, and which node asked; empty: the control plane.
	Kind     string `json:"kind,omitempty"`
	Proposer NodeID `json:"proposer,omitempty"`
	// Recovering: the state was restored and stores named by it have not reported; nobody serves the slot.
	Recovering bool `json:"recovering,omitempty"`
}

// PrimaryReplica is the primary with its store; the zero Replica if there is none.
func (c SlotConfig) PrimaryReplica() Replica {
	for _, replica := range c.ISR {
		if replica.Node == c.Primary {
			return replica
		}
	}
	return Replica{}
}

// SlotStanding is how a slot is, in one word.
type SlotStanding string

const (
	SlotSettled    SlotStanding = "settled"    // held as wanted
	SlotMoving     SlotStanding = "moving"     // served, but not yet, or not any more, by all who should hold it
	SlotStranded   SlotStanding = "stranded"   // its primary is down, or runs with another store, and nobody else in sync is up
	SlotRecovering SlotStanding = "recovering" // the state was restored; nobody serves it until stores report
	SlotUnassigned SlotStanding = "unassigned" // nobody holds it
)

// SlotStandings lists them all.
var SlotStandings = []SlotStanding{SlotSettled, SlotMoving, SlotStranded, SlotRecovering, SlotUnassigned}

// Standing is how the slot is, given which replicas are up: their nodes are, with these very stores.
func (c SlotConfig) Standing(up func(Replica) bool) SlotStanding {
	switch {
	case c.Recovering:
		return SlotRecovering
	case c.Primary == "":
		return SlotUnassigned
	case !up(c.PrimaryReplica()):
		return SlotStranded
	case len(c.Want) == 0 || c.asWanted():
		return SlotSettled
	default:
		return SlotMoving
	}
}

func (c SlotConfig) asWanted() bool {
	for _, replica := range c.ISR {
		if !slices.Contains(c.Want, replica.Node) {
			return false
		}
	}
	return c.Primary == c.Want[0] && len(c.ISR) == len(c.Want)
}

// Holds reports whether a node has all of the slot's state.
func (c SlotConfig) Holds(node NodeID) bool {
	return c.Primary == node || slices.ContainsFunc(c.ISR, func(r Replica) bool { return r.Node == node })
}

// SlotNode is a node as those that hold slots see it.
type SlotNode struct {
	ID      NodeID     `json:"id"`
	Address string     `json:"address"` // host:port
	Store   StoreID    `json:"store,omitempty"`
	Status  NodeStatus `json:"status"`
	Left    bool       `json:"left,omitempty"` // it said that it stops
}

// Runs reports whether a replica is up: the node is, with that store.
func (n SlotNode) Runs(r Replica) bool {
	return n.ID == r.Node && n.Status != NodeDown && (r.Store == "" || n.Store == r.Store)
}

// SlotCursor is a place in the stream of slot configurations: the log index up to which they are told, within
// a generation.
type SlotCursor struct {
	Generation uint64 `json:"generation"`
	Index      uint64 `json:"index"`
}

// String writes the form used in queries: "<generation>-<index>".
func (c SlotCursor) String() string { return fmt.Sprintf("%d-%d", c.Generation, c.Index) }

// ParseSlotCursor reads "<generation>-<index>".
func ParseSlotCursor(text string) (SlotCursor, error) {
	generation, index, found := strings.Cut(text, "-")
	g, errG := strconv.ParseUint(generation, 10, 53)
	i, errI := strconv.ParseUint(index, 10, 53)
	if !found || errG != nil || errI != nil {
		return SlotCursor{}, fmt.Errorf("cursor %q is not <generation>-<index>", Clip(text))
	}
	return SlotCursor{Generation: g, Index: i}, nil
}

// Compare returns -1, 0 or +1 as c comes before, is, or comes after other.
func (c SlotCursor) Compare(other SlotCursor) int {
	return cmp.Or(cmp.Compare(c.Generation, other.Generation), cmp.Compare(c.Index, other.Index))
}

// SlotFeed answers GET /v1/slots: the configurations that changed since a cursor, all of them if Full. They
// were committed, so a reader may act on each whose epoch is higher than the one it knows.
type SlotFeed struct {
	Cluster  ClusterID    `json:"cluster"`
	Version  Version      `json:"version"`
	Cursor   SlotCursor   `json:"cursor"` // ask after this one next
	Full     bool         `json:"full,omitempty"`
	Settings Settings     `json:"settings"`
	Nodes    []SlotNode   `json:"nodes"` // all that are listed, by id
	Slots    []SlotConfig `json:"slots"` // ascending
}

// Bounds on what a node may propose.
const (
	SlotProposalsMax = 64 // proposals of one request
	SlotISRMax       = 32 // members of one in-sync set: those of several wants, while slots move
)

// SlotProposal asks for the next configuration of a slot: compare the epoch, and set.
type SlotProposal struct {
	Slot    Slot      `json:"slot"`
	Base    Epoch     `json:"base"`             // the epoch it was made in sight of
	Kind    string    `json:"kind"`             // expand, shrink, transfer, abort, yield; force for operators
	Primary NodeID    `json:"primary"`          // of the configuration to come
	ISR     []Replica `json:"isr"`              // of the configuration to come
	Silent  bool      `json:"silent,omitempty"` // of a shrink: those that leave did not answer
}

// SlotProposals is the body of POST /v1/slots/cas. Each proposal is decided by itself.
type SlotProposals struct {
	Node       NodeID         `json:"node"`
	Session    SessionID      `json:"session"`
	Generation uint64         `json:"generation"`
	SlotBits   int            `json:"slot_bits"`
	Proposals  []SlotProposal `json:"proposals"`
}

// SlotVerdict answers one proposal with the configuration that stands. Refusal is empty if the proposal led to
// it (or had led to it before), else one of package ownership's.
type SlotVerdict struct {
	Config  SlotConfig `json:"config"`
	Refusal string     `json:"refusal,omitempty"`
}

// SlotVerdicts answers SlotProposals, in their order.
type SlotVerdicts struct {
	Version  Version       `json:"version"`
	Cursor   SlotCursor    `json:"cursor"` // at which the configurations were read
	Verdicts []SlotVerdict `json:"verdicts"`
}

// Validate reports the first field that cannot stand, whatever the slots' configurations are.
func (p SlotProposals) Validate() *Problem {
	if err := p.Node.Validate(); err != nil {
		return NewProblem(CodeInvalid, "%v", err).InField("node")
	}
	if len(p.Proposals) == 0 || len(p.Proposals) > SlotProposalsMax {
		return NewProblem(CodeInvalid, "1 to %d proposals go into a request, not %d", SlotProposalsMax, len(p.Proposals)).InField("proposals")
	}
	for i, proposal := range p.Proposals {
		if problem := proposal.validate(); problem != nil {
			return problem.InField(fmt.Sprintf("proposals[%d].%s", i, problem.Field))
		}
	}
	return nil
}

func (p SlotProposal) validate() *Problem {
	if err := p.Primary.Validate(); err != nil {
		return NewProblem(CodeInvalid, "%v", err).InField("primary")
	}
	if len(p.ISR) == 0 || len(p.ISR) > SlotISRMax {
		return NewProblem(CodeInvalid, "an in-sync set has 1 to %d members, not %d", SlotISRMax, len(p.ISR)).InField("isr")
	}
	for _, replica := range p.ISR {
		if err := replica.Node.Validate(); err != nil {
			return NewProblem(CodeInvalid, "%v", err).InField("isr")
		}
		if err := replica.Store.Validate(); replica.Store != "" && err != nil {
			return NewProblem(CodeInvalid, "%v", err).InField("isr")
		}
	}
	if p.Base >= 1<<53-1 {
		return NewProblem(CodeInvalid, "%d is past 2^53-2", p.Base).InField("base")
	}
	return nil
}

// SlotForce is the body of POST /v1/slots/{slot}/force: who is to hold a slot that nobody serves, whatever
// it has of it.
type SlotForce struct {
	Node NodeID `json:"node"`
}

// Evicted answers POST /v1/nodes/{id}/evict.
type Evicted struct {
	Changed
	// Kept are the slots that the node still holds, by why no other node can take them; ascending.
	Kept []SlotsKept `json:"kept,omitempty"`
}

// SlotsKept are slots that stay where they are, for one reason.
type SlotsKept struct {
	Reason string `json:"reason"`
	Slots  []Slot `json:"slots"`
}

// SlotReport is the body of POST /v1/nodes/{id}/slots: the configurations that the node's store had adopted
// before the state was restored.
type SlotReport struct {
	Session SessionID    `json:"session"`
	Slots   []SlotConfig `json:"slots"`
}
