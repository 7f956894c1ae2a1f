package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/consensus"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/membership"
)

// removeTries is how often a removal is begun anew because the members changed meanwhile.
const removeTries = 3

// MemberList lists the members, those that are asked for, and the processes that wait to be.
func (m *Member) MemberList() api.MemberList {
	list := api.MemberList{Members: m.Members(), Leader: m.Leader(), Term: m.Term(), Applied: m.State().Index}
	view, _ := m.viewNow()
	leaving := make(map[api.MemberID]bool)
	for _, intent := range view.Intents {
		leaving[intent.Replaces] = true
	}
	for i := range list.Members {
		m.stage(&list.Members[i], view, leaving)
	}
	listed := make(map[string]bool)
	for _, intent := range view.Intents {
		listed[intent.Name] = true
		if _, here := view.Newcomer(intent); !here {
			list.Members = append(list.Members, m.awaited(view, intent))
		}
	}
	for _, candidate := range view.Candidates {
		if !listed[candidate.Name] {
			info, _ := m.directory.Info(candidate.ID)
			list.Members = append(list.Members, api.Member{
				ID: candidate.ID, Name: candidate.Name, API: info.API, Raft: info.Raft, Alive: true, Level: candidate.Level,
				Stage: api.StageUnlisted, Note: "it waits for: stead members add " + candidate.Name,
			})
		}
	}
	return list
}

// viewNow is the view of the committed configuration, and its log index; 0 while it is not known.
func (m *Member) viewNow() (membership.View, uint64) {
	replica := m.replica.Load()
	if replica == nil {
		return membership.View{}, 0
	}
	committed := replica.Committed()
	return m.view(committed, time.Now()), committed.Index
}

// stage says how far a listed member has come.
func (m *Member) stage(member *api.Member, view membership.View, leaving map[api.MemberID]bool) {
	switch {
	case !member.Voter:
		member.Stage = api.StageCatchingUp
		if !member.Alive {
			member.Note = "it is not heard of"
		}
	case leaving[member.ID]:
		member.Stage = api.StageLeaving
		if problem := membership.CheckRemoval(view.Members, member.ID); problem != nil {
			member.Note = problem.Detail
		}
	default:
		member.Stage = api.StageVoter
	}
	for _, intent := range view.Intents {
		if newcomer, here := view.Newcomer(intent); here && newcomer.ID == member.ID {
			member.Replaces = intent.Replaces
		}
	}
}

// awaited is a member that is asked for and not listed yet.
func (m *Member) awaited(view membership.View, intent membership.Intent) api.Member {
	member := api.Member{
		Name: intent.Name, Stage: api.StageAwaited, Replaces: intent.Replaces,
		Note: fmt.Sprintf("start it: stead control --name %s --data-dir NEW --join %s", intent.Name, m.config.advertised(m.APIAddr())),
	}
	if candidate, here := view.Candidate(intent.Name); here {
		info, _ := m.directory.Info(candidate.ID)
		member.ID, member.API, member.Raft, member.Alive, member.Level = candidate.ID, info.API, info.Raft, true, candidate.Level
		member.Note = ""
		if problem := tooOld(candidate, view.Level); problem != nil {
			member.Note = problem.Detail
		}
	}
	return member
}

func tooOld(candidate membership.Candidate, level int) *api.Problem {
	if candidate.Level >= level {
		return nil
	}
	return api.NewProblem(api.CodeUnsupported, "%s supports levels to %d, the cluster stands at %d", candidate.Name, candidate.Level, level).
		WithNext("start it with a newer version")
}

// AddMember has a member taken in, in the place of another if the request says so. The leader's steward
// does the rest; asking again for the same changes nothing.
func (m *Member) AddMember(ctx context.Context, origin fsm.Origin, ask api.MemberAdd) (api.Member, error) {
	if err := api.ValidateMemberName(ask.Name); err != nil {
		return api.Member{}, api.NewProblem(api.CodeInvalid, "%v", err).InField("name")
	}
	view, index := m.viewNow()
	if index == 0 {
		return api.Member{}, noLeader()
	}
	replaces, settled, problem := view.Resolve(ask.Name, ask.Replaces)
	if problem != nil {
		return api.Member{}, problem
	}
	if candidate, here := view.Candidate(ask.Name); here && !settled {
		if problem := tooOld(candidate, view.Level); problem != nil {
			return api.Member{}, problem
		}
	}
	if !settled {
		if _, err := m.Propose(ctx, origin, fsm.Enlist{Name: ask.Name, Replaces: replaces, On: true}); err != nil {
			return api.Member{}, err
		}
		m.logger.Info("a member is asked for", "name", ask.Name, "replaces", replaces, "actor", origin.Actor)
	}
	for _, member := range m.MemberList().Members {
		if member.Name == ask.Name && (replaces == "" || member.ID != replaces) {
			return member, nil
		}
	}
	return api.Member{}, api.NewProblem(api.CodeConflict, "%s is asked for no more", ask.Name)
}

// RemoveMember takes a member, by name or id, off the list, or withdraws that it is asked for.
func (m *Member) RemoveMember(ctx context.Context, origin fsm.Origin, who string) error {
	for range removeTries {
		err := m.removeOnce(ctx, origin, who)
		if !errors.Is(err, consensus.ErrMoved) {
			return err
		}
	}
	return api.NewProblem(api.CodeConflict, "the members are changing all the time")
}

func (m *Member) removeOnce(ctx context.Context, origin fsm.Origin, who string) error {
	view, index := m.viewNow()
	replica := m.replica.Load()
	if index == 0 || replica == nil {
		return noLeader()
	}
	target, listed, problem := view.Find(who)
	switch asked, found := m.State().Asked(who); {
	case problem != nil:
		return problem
	case !listed && found:
		_, err := m.Propose(ctx, origin, fsm.Enlist{Name: asked.Name})
		return err
	case !listed:
		return api.NewProblem(api.CodeMemberUnknown, "there is no member %s", api.Clip(who))
	}
	if problem := membership.CheckRemoval(view.Members, target.ID); problem != nil {
		return problem
	}
	if target.Leader {
		return m.abdicateFor(target)
	}
	// The name is freed first: this is refused where the rest would be, and mended by the steward if the
	// rest fails.
	if _, err := m.Propose(ctx, origin, fsm.Forget{ID: target.ID}); err != nil {
		return err
	}
	if asked, found := m.State().Asked(target.Name); found && asked.Replaces != target.ID {
		if _, err := m.Propose(ctx, fsm.By(origin.Actor), fsm.Enlist{Name: asked.Name}); err != nil {
			return err
		}
	}
	m.logger.Info("removing a member", "gone", target.ID, "actor", origin.Actor)
	err := replica.RemoveServer(target.ID, index)
	if errors.Is(err, consensus.ErrMoved) {
		return err
	}
	return asProblem(err)
}

// abdicateFor hands leadership on, so that the next leader can remove this one; whoever asked asks again.
func (m *Member) abdicateFor(target membership.Member) error {
	if err := m.Transfer(""); err != nil {
		return err
	}
	return api.NewProblem(api.CodeNoLeader, "member %s led and has handed over; its successor removes it", target.ID)
}
