package peers

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// Decision is what a member without a log does.
type Decision struct {
	// Start: open Raft. Founders is set when the cluster is to be founded, and is the same list on each
	// founder; empty, the cluster exists and lists this member, as a Nonvoter or as a founder that is late.
	Start    bool
	Founders []api.MemberID
	Nonvoter bool
	// Configured is the log index of the configuration that lists it.
	Configured uint64
	// Newcomer: a cluster runs that this member is not of; it never founds one itself from now on.
	Newcomer bool
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
func (d *Directory) Decide(now time.Time, newcomer bool) Decision {
	self, others, asked := d.view(now)
	if !asked {
		return Decision{Waiting: "the addresses to join were not all asked yet"}
	}
	return decide(self, others, newcomer)
}

func decide(self api.PeerInfo, others []witness, newcomer bool) Decision {
	for _, other := range others {
		if other.info.Name == self.Name {
			return Decision{Refusal: api.NewProblem(api.CodeMemberNameKnown,
				"member %s runs already, with another data folder", self.Name)}
		}
	}
	if members := withLogs(others); len(members) > 0 {
		return joinExisting(self, members)
	}
	if newcomer {
		return Decision{Newcomer: true, Waiting: "no member of the cluster that runs here answers now"}
	}
	return foundTogether(self, others)
}

// withLogs are the others that have a log, those that know most of it first.
func withLogs(others []witness) []api.PeerInfo {
	var members []api.PeerInfo
	for _, other := range others {
		if other.info.HasState {
			members = append(members, other.info)
		}
	}
	slices.SortStableFunc(members, func(a, b api.PeerInfo) int { return cmp.Compare(b.Applied, a.Applied) })
	return members
}

// joinExisting: the cluster exists. A founder that is late is listed already; anyone else waits to be
// asked for. A name that the cluster knows goes to another folder only where that was asked for.
func joinExisting(self api.PeerInfo, members []api.PeerInfo) Decision {
	knows := members[0]
	for _, member := range members {
		if member.Cluster != "" && knows.Cluster != "" && member.Cluster != knows.Cluster {
			return Decision{Refusal: api.NewProblem(api.CodeWrongCluster, "%s and %s are of different clusters", knows.API, member.API).
				WithNext("check --join")}
		}
		nonvoter := slices.Contains(member.Nonvoters, self.ID)
		if slices.Contains(member.Members, self.ID) && (!nonvoter || member.Configured > 0) {
			return Decision{Start: true, Nonvoter: nonvoter, Configured: member.Configured}
		}
	}
	awaited := slices.Contains(knows.Awaits, self.Name)
	for _, id := range knows.Members {
		if NameOf(id) == self.Name && id != self.ID && !awaited {
			return Decision{Refusal: api.NewProblem(api.CodeMemberNameKnown,
				"the cluster knows %s as %s: this data folder is empty or another one", self.Name, id).
				WithNext("start it with its old data folder; if that is lost: stead members replace %s %s, then start this again", self.Name, self.Name)}
		}
	}
	switch {
	case len(knows.Members) == 0:
		return Decision{Waiting: fmt.Sprintf("member %s has not opened its log yet", knows.Name)}
	case awaited:
		return Decision{Newcomer: true, Waiting: "the leader to take this member in"}
	default:
		return Decision{Newcomer: true, Waiting: fmt.Sprintf("someone to run: stead members add %s --control %s",
			self.Name, addressOf(knows.API))}
	}
}

// NameOf is the name in a member's id.
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
