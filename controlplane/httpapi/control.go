package httpapi

import (
	"context"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/liveness"
)

// Control is what the API needs of a member.
type Control interface {
	// State is the present state, Changed a channel closed when it is no longer that.
	State() *fsm.State
	Changed() <-chan struct{}

	// Propose replicates a command. On a member that does not lead it fails with no_leader.
	Propose(ctx context.Context, origin fsm.Origin, command fsm.Command) (fsm.Result, error)
	// ProposeAlone replicates the command that plan makes of the present state, with nothing proposed in
	// between; nil proposes nothing.
	ProposeAlone(ctx context.Context, origin fsm.Origin, plan func(*fsm.State) (fsm.Command, error)) (fsm.Result, error)
	// Settleable lists the pending changes that a plan made of a state now would answer.
	Settleable(state *fsm.State, now time.Time) []api.ChangeID
	// Linearize waits until State holds all that was committed before the call; leader only.
	Linearize(ctx context.Context) error

	// ID names this member; Leader the one believed to lead, "" if none; LeaderURL its control API.
	ID() api.MemberID
	Leader() api.MemberID
	LeaderURL() (base string, known bool)
	IsLeader() bool
	// InTouch reports whether this member heard from a leader lately: if not, it may be cut off.
	InTouch() bool
	// CaughtUp reports whether it has applied what the leader had a round of exchange ago.
	CaughtUp() bool

	// Beat and ProxyBeat note that somebody lives; leader only, as what they lead to.
	Beat(id api.NodeID, beat api.Beat, now time.Time) *api.Problem
	ProxyBeat(id api.ProxyID, beat api.ProxyBeat, now time.Time) *api.Problem
	LastHeard(id api.NodeID, now time.Time) (ago time.Duration, load *api.Load, known bool)
	Proxies(now time.Time) []api.Proxy
	// MovesOf and Pace are what beats tell of slots that move: one node's, and all together, bytes from since on.
	MovesOf(id api.NodeID, now time.Time) *api.Moves
	Pace(since, now time.Time) liveness.Pace

	// Roster is the newest roster known here, nil before the first; RosterChanged is closed when it no
	// longer is. AdoptRoster takes the leader's over.
	Roster() *api.Roster
	RosterChanged() <-chan struct{}
	AdoptRoster(roster api.Roster)

	// CheckNode refuses what this member's own flags forbid, addresses outside the allow-list, and what only a leader
	// knows: a copy of a store whose node is heard of.
	CheckNode(registration api.Registration) *api.Problem

	// Vitals measures the member's log and disk, for its metrics.
	Vitals(now time.Time) Vitals

	// Restore replaces the state of the whole cluster; leader only.
	Restore(ctx context.Context, actor string, from *fsm.State, force bool) (api.Changed, error)
	// Snapshots is how saving them goes on this member.
	Snapshots() api.SnapshotSchedule

	Members() []api.Member
	// Alarms are conditions this member knows of that want a person.
	Alarms(now time.Time) []string
	// MemberList lists those that are asked for and those that wait, too. AddMember and RemoveMember: leader only.
	MemberList() api.MemberList
	AddMember(ctx context.Context, origin fsm.Origin, ask api.MemberAdd) (api.Member, error)
	RemoveMember(ctx context.Context, origin fsm.Origin, who string) error
	Term() uint64
	Transfer(to string) error
	// ExchangePeers merges what another member tells and answers with what is known here.
	ExchangePeers(message api.Peers, now time.Time) (api.Peers, error)
}
