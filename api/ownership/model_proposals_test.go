package ownership_test

import (
	"cmp"
	"fmt"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// A proposal is what a node asked of the control plane, as the number of a bit. It was made in sight of the
// present epoch: those of former epochs are refused, so the model forgets them.
type proposal uint8

// The groups of proposals. Within expand comes the member, within shrink the bits of the nodes that leave,
// within the others the node that is to be primary.
const (
	expand       proposal = 0
	shrink       proposal = expand + 1 + nodeCount*storeMax
	drop         proposal = shrink + 1<<nodeCount // a shrink of those nobody wants
	abort        proposal = drop + 1<<nodeCount
	yield        proposal = abort + 1
	transfer     proposal = yield + nodeCount
	transferSole proposal = transfer + nodeCount // the one before leaves
	proposalEnd  proposal = transferSole + nodeCount
)

func (p proposal) String() string {
	switch {
	case p < shrink:
		return fmt.Sprintf("expand by n%d, store %d", member(p).node(), member(p).store())
	case p < drop:
		return fmt.Sprintf("shrink by silent nodes %03b", p-shrink)
	case p < abort:
		return fmt.Sprintf("shrink by unwanted nodes %03b", p-drop)
	case p < yield:
		return "abort"
	case p < transfer:
		return fmt.Sprintf("yield to n%d", p-yield)
	case p < transferSole:
		return fmt.Sprintf("transfer to n%d", p-transfer)
	default:
		return fmt.Sprintf("transfer to n%d, the former primary leaving", p-transferSole)
	}
}

// proposal is what it asks for, given the configuration it was made in sight of.
func (p proposal) of(now ownership.Config[member]) ownership.Proposal[member] {
	full := ownership.Proposal[member]{Kind: ownership.Abort, By: now.Primary, Base: now.Epoch, Primary: now.Primary, ISR: now.ISR}
	isr := setOf(now.ISR)
	switch {
	case p < shrink:
		isr[member(p).node()] = member(p)
		full.Kind, full.ISR = ownership.Expand, isr.members()
	case p < abort:
		leaving := (p - shrink) % (1 << nodeCount)
		for node := range isr {
			if leaving&(1<<node) != 0 {
				isr[node] = 0
			}
		}
		full.Kind, full.ISR, full.Silent = ownership.Shrink, isr.members(), p < drop
	case p < yield:
	case p < transfer:
		full.Kind, full.Primary = ownership.Yield, isr[p-yield]
	default:
		full.Kind, full.Primary = ownership.Transfer, isr[(p-transfer)%nodeCount]
		if full.Primary == 0 {
			full.Primary = memberOf(int(p-transfer)%nodeCount, 0)
		}
		full.By = full.Primary
		if p >= transferSole && now.Primary != 0 {
			isr[now.Primary.node()] = 0
			full.ISR = isr.members()
		}
	}
	return full
}

// propose sends a proposal, unless it is on its way already or would be stale.
func (m *model) propose(s *state, index, node int, p proposal, to emit) {
	at := &s.slots[index]
	r := &at.replicas[node]
	if r.adopted != at.epoch || at.recovering || at.proposed&(1<<p) != 0 {
		return
	}
	next := *s
	next.slots[index].proposed |= 1 << p
	to(&next, step{action: proposes, slot: index, node: node, epoch: r.adopted, what: uint8(p)}, "")
}

// decide is the control plane's compare-and-set.
func (m *model) decide(s *state, index int, p proposal, to emit) {
	next := *s
	at := &next.slots[index]
	at.proposed &^= 1 << p
	taken := step{action: decided, slot: index, what: uint8(p)}
	config, refusal := m.mutant.decide(at.config(at.epoch), p.of(at.config(at.epoch)), m.facts(s, at))
	if refusal != ownership.Accepted {
		taken.action = refused
		to(&next, taken, "")
		return
	}
	broken := brokenDecision(s, at, p)
	if wrong, ok := m.make(at, config); ok {
		to(&next, taken, cmp.Or(wrong, broken))
	}
}

// freeSteps are all that a primary may do of its own will.
func (m *model) freeSteps(s *state, index, node int, to emit) {
	at := &s.slots[index]
	r := &at.replicas[node]
	config := at.config(r.adopted)
	for other := range m.nodes {
		x := s.member(other)
		if other == node {
			continue
		}
		if config.InSync(at.history[r.adopted].isr[other]) {
			m.propose(s, index, node, shrink+1<<other, to)
			m.propose(s, index, node, yield+proposal(other), to)
			if r.serves() {
				m.seal(s, index, node, other, to)
			}
			continue
		}
		if !r.serves() {
			continue
		}
		if m.mutant == transferOutside {
			m.seal(s, index, node, other, to)
		}
		if r.pending[other] == 0 && s.nodes[other].up {
			m.join(s, index, node, x, to)
		}
		if joining := r.pending[other]; m.mayExpand(r, joining) {
			m.propose(s, index, node, expand+proposal(joining), to)
		}
	}
	m.propose(s, index, node, abort, to)
}

func (m *model) mayExpand(r *replica, x member) bool {
	if x == 0 || m.mutant == expandEarly {
		return x != 0
	}
	acked := r.ackOf
	if m.mutant == expandByNode {
		acked = r.ackOfNode
	}
	return ownership.MayExpand(x, r.pending.members(), ownership.Seq(r.commit), acked)
}

func (m *model) join(s *state, index, node int, x member, to emit) {
	next := *s
	next.slots[index].replicas[node].pending[x.node()] = x
	to(&next, step{action: joins, slot: index, node: node, other: x.node()}, "")
}

// seal ends the primary's service for another, and says so.
func (m *model) seal(s *state, index, node, other int, to emit) {
	at := &s.slots[index]
	r := &at.replicas[node]
	heir, last := at.history[r.adopted].isr[other], ownership.Seq(r.last)
	may := ownership.MaySeal(at.config(r.adopted), heir, r.pending.members(), last, ownership.Seq(r.commit), r.ackOf)
	if !may && m.mutant != transferOutside {
		return
	}
	next := *s
	sealed := &next.slots[index]
	sealed.replicas[node].sealed = true
	sealed.replicas[node].endRead()
	sealed.sealEpoch, sealed.sealTo, sealed.sealAt = r.adopted, uint8(other), r.last
	to(&next, step{action: seals, slot: index, node: node, other: other}, "")
}

// proposeTransfer is the heir's step.
func (m *model) proposeTransfer(s *state, index, node int, to emit) {
	at := &s.slots[index]
	r := &at.replicas[node]
	sealed := api.Epoch(at.sealEpoch)
	if !ownership.MayTransfer(api.Epoch(r.adopted), sealed, ownership.Seq(r.last), ownership.Seq(at.sealAt)) && m.mutant != transferOutside {
		return
	}
	m.propose(s, index, node, transfer+proposal(node), to)
	m.propose(s, index, node, transferSole+proposal(node), to)
}

// misbehave is what only mutants do.
func (m *model) misbehave(s *state, index, node int, to emit) {
	next := *s
	r := &next.slots[index].replicas[node]
	switch {
	case m.mutant == pendingShrinks && r.pending != set{}:
		r.pending = set{}
	case m.mutant == unseals && r.sealed:
		r.sealed = false
	default:
		return
	}
	to(&next, step{action: misbehaves, slot: index, node: node}, "")
}
