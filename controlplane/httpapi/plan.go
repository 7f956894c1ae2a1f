package httpapi

import (
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/planner"
)

// planRing answers POST /v1/ring/plan.
func (s *Server) planRing(w http.ResponseWriter, r *http.Request) error {
	var ask api.PlanAsk
	if problem := decodeStrict(r, &ask); problem != nil {
		return problem
	}
	if problem := ask.Validate(); problem != nil {
		return problem
	}
	for _, add := range ask.Add {
		if add.Address == "" {
			continue
		}
		if problem := s.control.CheckNode(api.Registration{ID: add.ID, Address: add.Address}); problem != nil {
			return problem.InField("add.address")
		}
	}
	return s.plan(w, r, intent{
		apply: ask.Apply, expect: ask.Expect,
		propose: func(state *fsm.State, settle []api.ChangeID) (planner.Proposal, *api.Problem) {
			return planner.Propose(state, ask, settle)
		},
	})
}

// rollbackRing answers POST /v1/ring/rollback.
func (s *Server) rollbackRing(w http.ResponseWriter, r *http.Request) error {
	var ask api.RollbackAsk
	if problem := decodeStrict(r, &ask); problem != nil {
		return problem
	}
	if ask.Change == 0 {
		return api.NewProblem(api.CodeInvalid, "the change whose ring is wanted back is needed").InField("change")
	}
	return s.plan(w, r, intent{
		apply: !ask.DryRun, expect: ask.Expect,
		propose: func(state *fsm.State, settle []api.ChangeID) (planner.Proposal, *api.Problem) {
			return planner.Rollback(state, ask.Change, settle)
		},
	})
}

// intent is a plan to make, and whether to carry it out.
type intent struct {
	apply   bool
	expect  string // digest of the plan that was agreed to, "" for any
	propose func(*fsm.State, []api.ChangeID) (planner.Proposal, *api.Problem)
}

// plan answers with a plan, carried out if that is asked.
func (s *Server) plan(w http.ResponseWriter, r *http.Request, intent intent) error {
	if intent.apply {
		return s.applyPlan(w, r, intent)
	}
	plan, _, problem := s.look(r, s.control.State(), intent)
	if problem != nil {
		return problem
	}
	return writeJSON(w, http.StatusOK, plan)
}

// applyPlan makes the plan and carries it out, with nothing in between.
func (s *Server) applyPlan(w http.ResponseWriter, r *http.Request, intent intent) error {
	origin := conditions(r.Context())
	origin.Actor = actor(r)
	var plan api.RingPlan
	var earlier *fsm.Result
	result, err := s.control.ProposeAlone(r.Context(), origin, func(state *fsm.State) (fsm.Command, error) {
		known, problem := state.Earlier(origin)
		if known != nil || problem != nil {
			earlier = known
			return nil, asError(problem)
		}
		made, command, problem := s.look(r, state, intent)
		if plan = made; problem != nil || !plan.Changes {
			return nil, asError(problem)
		}
		return command, nil
	})
	switch {
	case err != nil:
		return err
	case earlier != nil:
		w.Header().Set(api.HeaderReplayed, "true")
		return writeJSON(w, http.StatusOK, recall(s.control.State(), *earlier))
	case plan.Changes:
		plan.Applied = &api.Changed{Change: result.Change, Version: result.Version, LeavesState: plan.LeavesState}
	}
	return writeJSON(w, http.StatusOK, plan)
}

// asError keeps the absence of a problem from becoming an error that is not nil.
func asError(problem *api.Problem) error {
	if problem == nil {
		return nil
	}
	return problem
}

// look makes the plan of a state, and refuses one that may not be applied.
func (s *Server) look(r *http.Request, state *fsm.State, intent intent) (api.RingPlan, fsm.Arrange, *api.Problem) {
	now := time.Now()
	if problem := state.CheckBase(conditions(r.Context()).Base); problem != nil {
		return api.RingPlan{}, fsm.Arrange{}, problem
	}
	proposal, problem := intent.propose(state, s.control.Settleable(state, now))
	if problem != nil {
		return api.RingPlan{}, fsm.Arrange{}, problem
	}
	plan := proposal.Plan
	if problem := refusePlan(plan, intent); problem != nil {
		return api.RingPlan{}, fsm.Arrange{}, problem
	}
	for i, node := range plan.Nodes {
		if _, load, known := s.control.LastHeard(node.ID, now); known && load != nil && node.Before > 0 {
			plan.Nodes[i].Bytes = uint64(float64(load.Bytes) * float64(node.Leaves) / float64(node.Before))
		}
	}
	return plan, proposal.Command, nil
}

func refusePlan(plan api.RingPlan, intent intent) *api.Problem {
	if intent.apply && len(plan.Blocked) > 0 {
		blocked := plan.Blocked[0]
		problem := api.NewProblem(blocked.Code, "%s", blocked.Detail).InField(blocked.Field)
		problem.Next = blocked.Next
		return problem
	}
	if intent.expect != "" && intent.expect != plan.Digest {
		return api.NewProblem(api.CodePlanStale, "it would now move %d slots, %d must move and %d leave their state; its digest is %s",
			plan.Moved, plan.Minimum, plan.LeavesState, plan.Digest).InField("expect").WithNext("look at the plan again")
	}
	return nil
}

// recall answers a request that was carried out before, under its key, as far as history still tells.
func recall(state *fsm.State, earlier fsm.Result) api.RingPlan {
	plan := api.RingPlan{
		Slots: state.SlotCount(), Nodes: []api.PlanNode{}, Diff: api.RingDiff{Slots: []api.SlotDiff{}, Nodes: []api.NodeDiff{}},
		Changes: true, Applied: &api.Changed{Change: earlier.Change, Version: earlier.Version},
		Note: "carried out before, under the same Idempotency-Key",
	}
	change, problem := state.Change(earlier.Change)
	if problem != nil {
		return plan
	}
	plan.Change, plan.Cause, plan.LeavesState = change.ID-1, change.Show().Cause, change.LeavesState
	plan.Applied.LeavesState = change.LeavesState
	made, _ := state.Versions(change.First.Number+1, 1)
	if len(made) == 0 || made[0].Change != change.ID {
		return plan // it left the ring as it was
	}
	before, gone := state.At(change.First.Number - 1)
	after, goneToo := state.At(change.Last.Number)
	if gone != nil || goneToo != nil {
		return plan
	}
	plan.Diff = ring.Diff(before.Table, after.Table)
	plan.Moved, plan.Share = plan.Diff.Moved, plan.Diff.Share
	return plan
}

// maintainNode answers POST /v1/nodes/{id}/maintenance.
func (s *Server) maintainNode(w http.ResponseWriter, r *http.Request) error {
	var ask api.MaintenanceAsk
	return s.changeRing(w, r, nil, func() (fsm.Command, *api.Problem) {
		if problem := decodeStrict(r, &ask); problem != nil {
			return nil, problem
		}
		if ask.For == nil {
			return nil, api.NewProblem(api.CodeInvalid, `a time such as "15m" is needed; "0s" ends it`).InField("for")
		}
		if problem := api.ValidateMaintenance(*ask.For); problem != nil {
			return nil, problem
		}
		return fsm.Maintenance{Node: api.NodeID(r.PathValue("id")), For: *ask.For}, nil
	})
}
