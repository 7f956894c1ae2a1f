package membership

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// Limits of the control plane's size.
const (
	// MembersMax members can be listed, those on their way included.
	MembersMax = 7
	// cleanupVotersMin voters stay when the dead are removed unasked: fewer would survive no further loss.
	cleanupVotersMin = 3
)

// Member is one that Raft's configuration lists, as the leader sees it.
type Member struct {
	ID    api.MemberID
	Name  string
	Voter bool
	// Leader: it is the one that decides.
	Leader bool
	Alive  bool
	// Silent is how long it was not heard of, as far as this leader knows.
	Silent time.Duration
	// KeepsUp with the leader: see Pace.
	KeepsUp bool
	// Kept: it has noted on its disk that it has a log, so a wiped folder of its would be recognised.
	Kept bool
}

// Candidate is a live process that the configuration does not list and that has no log.
type Candidate struct {
	ID    api.MemberID
	Name  string
	Level int // highest FSM level it supports
}

// Intent asks for a member, in the place of another if Replaces is set.
type Intent struct {
	Name     string
	Replaces api.MemberID
}

// Record is a name that the replicated state holds for a member.
type Record struct {
	ID   api.MemberID
	Name string
}

// View is all that a decision looks at.
type View struct {
	Members    []Member
	Candidates []Candidate
	Intents    []Intent
	Records    []Record
	Level      int // FSM level in force; what it takes to add members begins at 2
	// DeadAfter is how long a voter must be silent to be removed unasked; 0: never.
	DeadAfter time.Duration
}

// levelNeeded is the FSM level at which members come and go.
const levelNeeded = 2

// Step is one thing to do. Exactly one field is set.
type Step struct {
	Add      *Candidate   // list it as a nonvoter
	Promote  api.MemberID // give it a vote
	Remove   api.MemberID
	Transfer api.MemberID // hand leadership to it
	Settled  string       // the intent of that name is fulfilled
	Record   *Record      // note its name in the replicated state
	Forget   api.MemberID // free its name
}

// Next is the next step, if there is one: first the replicated names, then what operators asked for in
// the order they asked, then the dead.
func Next(view View) (Step, bool) {
	if step, due := view.settleNames(); due {
		return step, true
	}
	if view.Level < levelNeeded {
		return Step{}, false
	}
	for _, intent := range view.Intents {
		if step, due := view.pursue(intent); due {
			return step, true
		}
	}
	return view.cleanUp()
}

// settleNames brings the recorded names in line with the configuration.
func (v View) settleNames() (Step, bool) {
	taken := make(map[string]bool)
	recorded := make(map[api.MemberID]bool)
	for _, record := range v.Records {
		if _, listed := v.member(record.ID); !listed && v.Level >= levelNeeded {
			return Step{Forget: record.ID}, true
		}
		taken[record.Name], recorded[record.ID] = true, true
	}
	for _, member := range v.Members {
		if member.Name != "" && !recorded[member.ID] && !taken[member.Name] {
			return Step{Record: &Record{ID: member.ID, Name: member.Name}}, true
		}
	}
	return Step{}, false
}

func (v View) member(id api.MemberID) (Member, bool) {
	for _, member := range v.Members {
		if member.ID == id {
			return member, true
		}
	}
	return Member{}, false
}

// Newcomer is the listed member that an intent asks for.
func (v View) Newcomer(intent Intent) (Member, bool) {
	for _, member := range v.Members {
		if member.Name == intent.Name && member.ID != intent.Replaces {
			return member, true
		}
	}
	return Member{}, false
}

func (v View) pursue(intent Intent) (Step, bool) {
	newcomer, listed := v.Newcomer(intent)
	switch {
	case !listed:
		candidate, found := v.Candidate(intent.Name)
		return Step{Add: &candidate}, found && candidate.Level >= v.Level && len(v.Members) < MembersMax+1
	case !newcomer.Voter:
		return Step{Promote: newcomer.ID}, newcomer.Alive && newcomer.KeepsUp && newcomer.Kept
	}
	replaced, remains := v.member(intent.Replaces)
	switch {
	case !remains:
		return Step{Settled: intent.Name}, true
	case replaced.Leader:
		heir, found := v.heir(newcomer)
		return Step{Transfer: heir}, found
	default:
		return Step{Remove: replaced.ID}, CheckRemoval(v.Members, replaced.ID) == nil
	}
}

// Candidate is the one process that waits under a name; where there are two, nobody can say which is
// meant.
func (v View) Candidate(name string) (Candidate, bool) {
	same := slices.DeleteFunc(slices.Clone(v.Candidates), func(c Candidate) bool { return c.Name != name })
	if len(same) != 1 {
		return Candidate{}, false
	}
	return same[0], true
}

// heir is who takes leadership from a leader that leaves: its successor, or any voter that keeps up.
func (v View) heir(successor Member) (api.MemberID, bool) {
	for _, member := range append([]Member{successor}, v.Members...) {
		if member.Voter && member.Alive && member.KeepsUp && !member.Leader {
			return member.ID, true
		}
	}
	return "", false
}

// cleanUp removes the voter that is silent longest, and only where nothing else is on its way.
func (v View) cleanUp() (Step, bool) {
	if v.DeadAfter <= 0 || len(v.Intents) > 0 {
		return Step{}, false
	}
	dead, voters := Member{}, 0
	for _, member := range v.Members {
		switch {
		case !member.Voter, member.Alive && !member.KeepsUp:
			return Step{}, false // someone is catching up, perhaps by a snapshot
		case !member.Alive && !member.Leader && member.Silent >= v.DeadAfter && member.Silent > dead.Silent:
			dead = member
		}
		voters++
	}
	if dead.ID == "" || voters-1 < cleanupVotersMin || CheckRemoval(v.Members, dead.ID) != nil {
		return Step{}, false
	}
	return Step{Remove: dead.ID}, true
}

// CheckRemoval refuses to remove a member that those who remain could not go on without.
func CheckRemoval(members []Member, id api.MemberID) *api.Problem {
	voters, live := 0, 0
	found, isVoter := false, false
	for _, member := range members {
		switch {
		case member.ID == id:
			found, isVoter = true, member.Voter
		case member.Voter:
			voters++
			if member.Alive {
				live++
			}
		}
	}
	switch {
	case !found:
		return api.NewProblem(api.CodeMemberUnknown, "there is no member %s", api.Clip(string(id)))
	case !isVoter:
		return nil
	case voters == 0:
		return api.NewProblem(api.CodeLastMember, "without %s nobody can vote", id).
			WithNext("add another member first: stead members add NAME")
	case live <= voters/2:
		return api.NewProblem(api.CodeQuorumAtRisk, "%d of the %d members that would remain live, and %d are needed", live, voters, voters/2+1).
			WithNext("bring a member back, or add one first: stead members add NAME")
	}
	return nil
}
