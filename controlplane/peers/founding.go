package peers

import (
	"fmt"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// Decision is what a member without a log does.
type Decision struct {
	// Start: open Raft. Founders is set when the cluster is to be founded, and is the same list on each
	// founder; empty, the cluster exists and lists this member.
	Start    bool
	Founders []api.MemberID
	// Refusal ends the process: waiting would not help.
	Refusal *api.Problem
	// Waiting says in words what is missing.
	Waiting string
}

// witness is another member and whom it sees.
type witness struct {
	info api.PeerInfo
	sees []api.MemberID
}

// Decide looks at who is there. A cluster is founded only when exactly the expected number of members
// is there, none has state, all would found the same cluster, and all see each other: so no two of
// them can found different ones.
func (d *Directory) Decide(now time.Time) Decision {
	self, others, asked := d.view(now)
	if !asked {
		return Decision{Waiting: "the addresses to join were not all asked yet"}
	}
	return decide(self, others)
}

func decide(self api.PeerInfo, others []witness) Decision {
	for _, other := range others {
		if other.info.Name == self.Name {
			return Decision{Refusal: api.NewProblem(api.CodeMemberNameKnown,
				"member %s runs already, with another data folder", self.Name)}
		}
	}
	for _, other := range others {
		if other.info.HasState {
			return joinExisting(self, other.info)
		}
	}
	return foundTogether(self, others)
}

// joinExisting: the cluster exists. Only a founder that has not started yet may come in empty.
func joinExisting(self, other api.PeerInfo) Decision {
	if slices.Contains(other.Members, self.ID) {
		return Decision{Start: true}
	}
	for _, id := range other.Members {
		if NameOf(id) == self.Name {
			return Decision{Refusal: api.NewProblem(api.CodeMemberNameKnown,
				"the cluster knows %s as %s: this data folder is empty or another one", self.Name, id).
				WithNext("start it with its old data folder; a wiped member must be replaced, not restarted")}
		}
	}
	if len(other.Members) == 0 {
		return Decision{Waiting: fmt.Sprintf("member %s has not opened its log yet", other.Name)}
	}
	return Decision{Refusal: api.NewProblem(api.CodeNotAMember,
		"a cluster runs at %s and does not list %s", other.API, self.Name).
		WithNext("check --join and --data-dir; adding members comes with a later version")}
}

// NameOf is the name within a member's id.
func NameOf(id api.MemberID) string {
	const nonceLength = 16
	if len(id) <= nonceLength+1 {
		return string(id)
	}
	return string(id[:len(id)-nonceLength-1])
}

func foundTogether(self api.PeerInfo, others []witness) Decision {
	founders := []api.MemberID{self.ID}
	for _, other := range others {
		if other.info.Expect != self.Expect || other.info.Bootstrap != self.Bootstrap {
			return Decision{Waiting: fmt.Sprintf(
				"member %s was started with other settings: all founders need identical flags", other.info.Name)}
		}
		founders = append(founders, other.info.ID)
	}
	slices.Sort(founders)
	if len(founders) < self.Expect {
		return Decision{Waiting: fmt.Sprintf("%d of %d members are here", len(founders), self.Expect)}
	}
	if len(founders) > self.Expect {
		return Decision{Waiting: fmt.Sprintf("%d members are here and %d were expected: one too many was started", len(founders), self.Expect)}
	}
	for _, other := range others {
		for _, id := range founders {
			if id != other.info.ID && !slices.Contains(other.sees, id) {
				return Decision{Waiting: fmt.Sprintf("member %s does not see %s yet", other.info.Name, NameOf(id))}
			}
		}
	}
	return Decision{Start: true, Founders: founders}
}
