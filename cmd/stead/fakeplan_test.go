package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/stead-io/stead/api"
)

// planRings plays the planner: it knows n1, n2 and n3, and refuses what was seen at another change.
func planRings(w http.ResponseWriter, r *http.Request) {
	if match := r.Header.Get("If-Match"); match != "" && match != `"12"` {
		api.NewProblem(api.CodePrecondition, "the newest change is 12 (drain n2 by ann@desk), not %s", strings.Trim(match, `"`)).
			InField("If-Match").WriteTo(w)
		return
	}
	var ask api.PlanAsk
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		panic(err)
	}
	plan := fakePlan()
	switch key := r.Header.Get(api.HeaderIdempotencyKey); {
	case key == "done" && (!ask.Apply || ask.Expect != ""):
		api.NewProblem(api.CodeKeyReused, "the key came with another request").InField(api.HeaderIdempotencyKey).WriteTo(w)
		return
	case key == "done":
		plan.Applied, plan.Note = &api.Changed{Change: 13, Version: api.Version{Generation: 1, Number: 35}}, "carried out before"
	case ask.Expect != "" && ask.Expect != plan.Digest:
		api.NewProblem(api.CodePlanStale, "it would now move 9 slots").InField("expect").WriteTo(w)
		return
	case len(ask.Add) == 0 && len(ask.Remove) == 0:
		plan = api.RingPlan{Slots: 4096, Nodes: []api.PlanNode{}, Diff: api.RingDiff{From: fakeVersion}, Note: "nothing to change"}
	case slices.Contains(ask.Remove, "n1") && !ask.Force:
		plan.Blocked = []api.PlanBlock{{
			Field: "remove", Node: "n1", Code: api.CodeLastCopy, Detail: "node n1 holds the only copy of 1366 slots", Next: "drain it first",
		}}
	case ask.Apply:
		plan.Applied = &api.Changed{Change: 13, Version: api.Version{Generation: 1, Number: 35}}
	}
	answer(w, plan)
}

func rollBack(w http.ResponseWriter, r *http.Request) {
	var ask api.RollbackAsk
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		panic(err)
	}
	if ask.Change != 11 {
		api.NewProblem(api.CodeChangeUnknown, "there is no change %d; the newest is 12", ask.Change).WriteTo(w)
		return
	}
	plan := fakePlan()
	plan.Cause, plan.Note = "rollback to change 11", "only who holds the slots goes back"
	if !ask.DryRun {
		plan.Applied = &api.Changed{Change: 13, Version: api.Version{Generation: 1, Number: 35}}
	}
	answer(w, plan)
}

func fakePlan() api.RingPlan {
	modulo := 0.8
	return api.RingPlan{
		Cause: "add n9, remove n1", Change: 12, Digest: strings.Repeat("d1", 32), Slots: 4096, Moved: 2390, Share: 2390.0 / 4096,
		Minimum: 2390, Modulo: &modulo, LeavesState: 2390, Lossy: 1366, Changes: true, Settles: []api.ChangeID{10},
		Nodes: []api.PlanNode{
			{ID: "n1", Weight: 1, Zone: "a", Before: 1366, Leaves: 1366, Fate: "remove", Bytes: 1_234_567},
			{ID: "n2", Weight: 1, Before: 1365, After: 1024, Leaves: 341},
			{ID: "n3", Weight: 1, Before: 1365, After: 1024, Leaves: 341},
			{ID: "n5", Weight: 1},
			{ID: "n9", Weight: 2, After: 2048, Fate: "add"},
		},
		Diff: api.RingDiff{From: fakeVersion, To: api.Version{Generation: 1, Number: 35}, Moved: 2390},
	}
}
