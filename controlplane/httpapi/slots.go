package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/fsm"
)

// showSlot answers GET /v1/slots/{slot}.
func (s *Server) showSlot(w http.ResponseWriter, r *http.Request) error {
	state := s.control.State()
	slot, problem := slotOf(r, state)
	if problem != nil {
		return problem
	}
	return writeJSON(w, http.StatusOK, state.SlotConfig(slot))
}

func slotOf(r *http.Request, state *fsm.State) (api.Slot, *api.Problem) {
	text := r.PathValue("slot")
	number, err := strconv.ParseUint(text, 10, api.SlotBitsMax)
	if err != nil || int(number) >= state.SlotCount() {
		return 0, api.NewProblem(api.CodeInvalid, "%q is not one of the slots 0 to %d", api.Clip(text), state.SlotCount()-1).InField("slot")
	}
	return api.Slot(number), nil
}

// nodeKinds are what nodes may propose; the others are for the control plane and for operators.
var nodeKinds = map[ownership.Kind]bool{
	ownership.Expand: true, ownership.Shrink: true, ownership.Transfer: true, ownership.Abort: true, ownership.Yield: true,
}

// proposeSlots answers POST /v1/slots/cas: each proposal is decided by itself, all in one log entry.
func (s *Server) proposeSlots(w http.ResponseWriter, r *http.Request) error {
	var asked api.SlotProposals
	if problem := decodeLenient(r, &asked); problem != nil {
		return problem
	}
	if problem := asked.Validate(); problem != nil {
		return problem
	}
	if problem := speaksFor(r, transport.RoleNode, string(asked.Node)); problem != nil {
		return problem
	}
	if problem := checkProposals(s.control.State(), asked); problem != nil {
		return problem
	}
	result, err := s.proposeFor(w, r, "node "+string(asked.Node), fsm.Cas{
		Node: asked.Node, Session: asked.Session, Generation: asked.Generation, Proposals: asked.Proposals,
	})
	if err != nil {
		return err
	}
	s.metrics.countVerdicts(asked.Proposals, result.Verdicts)
	return writeJSON(w, http.StatusOK, api.SlotVerdicts{
		Version: result.Version, Cursor: cursorOf(s.control.State()), Verdicts: result.Verdicts,
	})
}

// checkProposals refuses what was made for another ring, and what nodes do not propose.
func checkProposals(state *fsm.State, asked api.SlotProposals) *api.Problem {
	if is := state.Settings.SlotBits; asked.SlotBits != is {
		return api.NewProblem(api.CodeRingGeometry, "the ring has 2^%d slots, not 2^%d", is, asked.SlotBits).InField("slot_bits")
	}
	if asked.Generation != state.Generation {
		return api.NewProblem(api.CodeConflict, "the ring is in generation %d, not %d", state.Generation, asked.Generation).
			InField("generation").WithNext("read the slots again")
	}
	for i, proposal := range asked.Proposals {
		if int(proposal.Slot) >= state.SlotCount() {
			return api.NewProblem(api.CodeInvalid, "%d is not one of the slots 0 to %d", proposal.Slot, state.SlotCount()-1).
				InField(fmt.Sprintf("proposals[%d].slot", i))
		}
		if kind, known := ownership.ParseKind(proposal.Kind); !known || !nodeKinds[kind] {
			return api.NewProblem(api.CodeInvalid, "%q is nothing that a node proposes", api.Clip(proposal.Kind)).
				InField(fmt.Sprintf("proposals[%d].kind", i))
		}
	}
	return nil
}

// forceSlot answers POST /v1/slots/{slot}/force.
func (s *Server) forceSlot(w http.ResponseWriter, r *http.Request) error {
	slot, problem := slotOf(r, s.control.State())
	if problem != nil {
		return problem
	}
	return s.changeRing(w, r, nil, func() (fsm.Command, *api.Problem) {
		var asked api.SlotForce
		if problem := decodeStrict(r, &asked); problem != nil {
			return nil, problem
		}
		if err := asked.Node.Validate(); err != nil {
			return nil, api.NewProblem(api.CodeInvalid, "%v", err).InField("node")
		}
		return fsm.Force{Slot: slot, Node: asked.Node}, nil
	})
}

// cancelChange answers POST /v1/ring/changes/{id}/cancel.
func (s *Server) cancelChange(w http.ResponseWriter, r *http.Request) error {
	id, problem := changeOf(r)
	if problem != nil {
		return problem
	}
	return s.changeRing(w, r, fsm.Cancel{Change: id}, nil)
}

// evictNode answers POST /v1/nodes/{id}/evict.
func (s *Server) evictNode(w http.ResponseWriter, r *http.Request) error {
	id := api.NodeID(r.PathValue("id"))
	changed, err := s.change(w, r, fsm.Evict{Node: id}, nil)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, api.Evicted{Changed: changed, Kept: keptBy(s.control.State(), id)})
}

// keptBy lists the slots that a node is primary of although it was evicted, by why that is so.
func keptBy(state *fsm.State, id api.NodeID) []api.SlotsKept {
	node := state.Node(id)
	if node == nil {
		return nil
	}
	var kept []api.SlotsKept
	for _, bound := range state.Bound(node) {
		at := slices.IndexFunc(kept, func(k api.SlotsKept) bool { return k.Reason == bound.Reason })
		if at < 0 {
			at, kept = len(kept), append(kept, api.SlotsKept{Reason: bound.Reason})
		}
		kept[at].Slots = append(kept[at].Slots, bound.Slot)
	}
	return kept
}
