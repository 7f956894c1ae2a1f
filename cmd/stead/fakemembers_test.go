package main

import (
	"encoding/json"
	"net/http"

	"github.com/stead-io/stead/api"
)

// fakeMembers are c1 leading, c2 about to be replaced by c4, and c5 whom nobody asked for.
func fakeMembers() api.MemberList {
	member := func(name string, stage api.MemberStage, note string) api.Member {
		return api.Member{
			ID: api.MemberID(name + "-5eed"), Name: name, API: "http://127.0.0.1:7400", Voter: stage != api.StageCatchingUp && stage != api.StageUnlisted,
			Leader: name == "c1", Alive: name != "c2", Applied: 99, Level: 2, Stage: stage, Note: note,
		}
	}
	c4 := member("c4", api.StageCatchingUp, "")
	c4.Applied, c4.Replaces = 42, "c2-5eed"
	return api.MemberList{Leader: "c1-5eed", Term: 7, Applied: 99, Members: []api.Member{
		member("c1", api.StageVoter, ""), member("c2", api.StageLeaving, ""), c4,
		member("c5", api.StageUnlisted, "it waits for: stead members add c5"),
	}}
}

// addFakeMember takes what stands already, and refuses the rest.
func addFakeMember(w http.ResponseWriter, r *http.Request) {
	var ask api.MemberAdd
	if json.NewDecoder(r.Body).Decode(&ask) != nil {
		api.NewProblem(api.CodeInvalid, "not JSON").WriteTo(w)
		return
	}
	for _, member := range fakeMembers().Members {
		if member.Name == ask.Name && (ask.Replaces == "" || string(member.Replaces) == ask.Replaces+"-5eed") {
			w.Header().Set("Content-Type", api.TypeJSON)
			w.WriteHeader(http.StatusAccepted)
			_ = json.NewEncoder(w).Encode(member)
			return
		}
	}
	api.NewProblem(api.CodeMemberAlive, "member %s-5eed runs", ask.Replaces).InField("replaces").WriteTo(w)
}

func removeFakeMember(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("id") {
	case "c2":
		w.WriteHeader(http.StatusNoContent)
	case "c1":
		api.NewProblem(api.CodeQuorumAtRisk, "1 of the 2 members that would remain live, and 2 are needed").
			WithNext("bring a member back, or add one first: stead members add NAME").WriteTo(w)
	default:
		api.NewProblem(api.CodeMemberUnknown, "there is no member %s", r.PathValue("id")).WriteTo(w)
	}
}
