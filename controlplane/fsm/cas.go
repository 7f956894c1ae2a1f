package fsm

import (
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// isrMax bounds an in-sync set: all that were, and all that are to be.
const isrMax = 2 * api.ReplicasMax

// Cas carries a node's proposals on slot configurations. Each is decided by itself; together they are one
// version of the ring.
type Cas struct {
	Node       api.NodeID         `json:"node"`
	Session    api.SessionID      `json:"session"`
	Generation uint64             `json:"generation"`
	Proposals  []api.SlotProposal `json:"proposals"`
}

func (Cas) commandType() CommandType { return TypeCas }

// runManaged carries out what only managed clusters know.
func (d *draft) runManaged(command Command) *api.Problem {
	if !d.state.Managed() {
		return api.NewProblem(api.CodeConflict, "with state %s slots flip at once; nobody hands them over", d.state.Settings.State)
	}
	switch command := command.(type) {
	case Cas:
		return d.cas(command)
	case Cancel:
		return d.cancel(command)
	case Evict:
		return d.evict(command)
	case Force:
		return d.force(command)
	case Out:
		return d.out(command)
	default:
		return api.NewProblem(api.CodeInternal, "command %T has no handler", command)
	}
}

func (d *draft) cas(command Cas) *api.Problem {
	by, problem := d.state.CheckCas(command)
	if problem != nil {
		return problem
	}
	d.cause = "slots by " + string(command.Node)
	d.result.Verdicts = make([]api.SlotVerdict, len(command.Proposals))
	for i, proposal := range command.Proposals {
		if int(proposal.Slot) >= d.state.slots.count() {
			return api.NewProblem(api.CodeRingGeometry, "there is no slot %d among %d", proposal.Slot, d.state.slots.count()).InField("proposals")
		}
		refusal := d.propose(by, proposal)
		d.result.Verdicts[i] = api.SlotVerdict{Config: d.state.SlotConfig(proposal.Slot), Refusal: string(refusal)}
	}
	return nil
}

// CheckCas refuses proposals as a whole: of a node that is not listed, that registered anew, or that speaks
// of another generation.
func (s *State) CheckCas(command Cas) (*Node, *api.Problem) {
	node, problem := s.mustNode(command.Node)
	switch {
	case problem != nil:
		return nil, problem
	case command.Session == "" || command.Session != node.Session:
		return nil, api.NewProblem(api.CodeUnknownSession, "node %s has registered anew since", node.Registration.ID).InField("session").
			WithNext("register again")
	case command.Generation != s.Generation:
		return nil, api.NewProblem(api.CodeConflict, "the state is of generation %d, not %d", s.Generation, command.Generation).InField("generation")
	case len(command.Proposals) == 0 || len(command.Proposals) > api.SlotProposalsMax:
		return nil, api.NewProblem(api.CodeInvalid, "1 to %d proposals come together, not %d", api.SlotProposalsMax, len(command.Proposals)).InField("proposals")
	}
	return node, nil
}

// propose decides one proposal and says why it does not stand. One that led to the present configuration
// before stands: its answer may have been lost.
func (d *draft) propose(by *Node, asked api.SlotProposal) ownership.Refusal {
	now := d.state.slots.at(asked.Slot)
	proposal, refusal := d.state.readProposal(by, asked)
	switch {
	case refusal != ownership.Accepted:
		return refusal
	case now.Recovering():
		return ownership.NotPrimary // whoever it is will be told
	case now.ledToBy(proposal, by.Registration.ID):
		return ownership.Accepted
	}
	next, refusal := ownership.Decide(now.config(), proposal, d.state.facts(asked.Slot))
	if refusal == ownership.Accepted {
		d.setSlot(asked.Slot, now.with(next, SlotKind(proposal.Kind), by.Registration.ID))
		d.succeedOne(asked.Slot, d.state.up) // a primary that is down may have brought somebody in sync who is not
	}
	return refusal
}

// readProposal spells a proposal out in indexes. What is for operators and for the control plane itself is
// not for a node to propose.
func (s *State) readProposal(by *Node, asked api.SlotProposal) (proposal ownership.Proposal[Replica], refusal ownership.Refusal) {
	kind, known := ownership.ParseKind(asked.Kind)
	if !known || kind == ownership.Force || kind == ownership.Promote || len(asked.ISR) > isrMax {
		return proposal, ownership.Malformed
	}
	proposal = ownership.Proposal[Replica]{Kind: kind, By: by.replica(), Base: asked.Base, Primary: nobody, Silent: asked.Silent}
	for _, member := range asked.ISR {
		node := s.Node(member.Node)
		if node == nil {
			return proposal, ownership.NotRegistered
		}
		replica := Replica{Node: node.Index, Store: member.Store}
		if slices.ContainsFunc(proposal.ISR, func(r Replica) bool { return r.Node == replica.Node }) {
			return proposal, ownership.Malformed
		}
		if member.Node == asked.Primary {
			proposal.Primary = replica
		}
		proposal.ISR = append(proposal.ISR, replica)
	}
	return proposal, ownership.Accepted
}

// ledToBy reports whether the slot is what a node's proposal led to.
func (s Slot) ledToBy(p ownership.Proposal[Replica], proposer api.NodeID) bool {
	return s.Epoch == p.Base+1 && s.Kind == SlotKind(p.Kind) && s.Proposer == proposer &&
		s.Primary == p.Primary.Node && len(s.ISR) == len(p.ISR) &&
		!slices.ContainsFunc(p.ISR, func(r Replica) bool { return !slices.Contains(s.ISR, r) })
}

// Force makes a node's store a slot's only member, whatever it holds: the last resort, which may lose state
// and fences nobody. A slot whose primary is up is refused.
type Force struct {
	Slot ring.Slot  `json:"slot"`
	Node api.NodeID `json:"node"`
}

func (Force) commandType() CommandType { return TypeForce }
