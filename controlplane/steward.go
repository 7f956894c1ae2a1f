package controlplane

import (
	"context"
	"errors"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/consensus"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/membership"
	"github.com/stead-io/stead/controlplane/peers"
)

// stewardEvery is how often the leader looks whether members are to be taken in, promoted or removed.
const stewardEvery = 200 * time.Millisecond

// steward carries out what the rules of membership decide, for one reign. It has a goroutine of its own: a change of
// members waits for a majority, and nodes are not to wait with it.
type steward struct {
	*Member
	replica *consensus.Replica
	pace    *membership.Pace
	begun   time.Time
	last    string // refused step, so that it is logged once
}

func newSteward(m *Member, replica *consensus.Replica) *steward {
	return &steward{Member: m, replica: replica, pace: membership.NewPace(), begun: time.Now()}
}

// run takes one step at a time until ctx ends.
func (s *steward) run(ctx context.Context) {
	tick := time.NewTicker(stewardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look(ctx, time.Now())
		}
	}
}

func (s *steward) look(ctx context.Context, now time.Time) {
	committed := s.replica.Committed()
	if committed.Index == 0 {
		return // not known yet who takes part
	}
	view := s.view(committed, now)
	for i, member := range view.Members {
		info, _ := s.directory.Info(member.ID)
		s.pace.Note(member.ID, info.Applied, s.State().Index, now)
		view.Members[i].KeepsUp = member.Leader || s.pace.KeepsUp(member.ID)
		view.Members[i].Silent = now.Sub(later(s.directory.LastHeard(member.ID), s.begun))
	}
	s.pace.Forget(committed.Lists)
	step, due := membership.Next(view)
	if !due {
		return
	}
	err := s.take(ctx, step, committed.Index)
	switch {
	case err == nil:
		s.last = ""
	case err.Error() != s.last && !errors.Is(err, consensus.ErrMoved) && !errors.Is(err, consensus.ErrNotLeader):
		s.last = err.Error()
		s.logger.Warn("a change of members did not go through; it is tried again", "error", err)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// take carries a step out. What fails is due again at the next look, here or with the next leader.
func (s *steward) take(ctx context.Context, step membership.Step, from uint64) error {
	switch {
	case step.Add != nil:
		s.logger.Info("taking a member in, without a vote", "new", step.Add.ID)
		return s.replica.AddNonvoter(step.Add.ID, from)
	case step.Promote != "":
		s.logger.Info("a member has caught up and gets a vote", "new", step.Promote)
		return s.replica.AddVoter(step.Promote, from)
	case step.Remove != "":
		s.logger.Info("removing a member", "gone", step.Remove)
		return s.replica.RemoveServer(step.Remove, from)
	case step.Transfer != "":
		s.logger.Info("handing leadership over: this member is to leave", "to", step.Transfer)
		return s.Transfer(string(step.Transfer))
	}
	_, err := s.Propose(ctx, bySystem, commandOf(step))
	return err
}

// commandOf is the command of a step that is about names.
func commandOf(step membership.Step) fsm.Command {
	switch {
	case step.Record != nil:
		return fsm.Member{ID: step.Record.ID, Name: step.Record.Name}
	case step.Forget != "":
		return fsm.Forget{ID: step.Forget}
	default:
		return fsm.Enlist{Name: step.Settled}
	}
}

// view is who takes part and who wants to, as this member sees it.
func (m *Member) view(committed consensus.Configuration, now time.Time) membership.View {
	state, leader := m.State(), m.Leader()
	view := membership.View{Level: state.Level, DeadAfter: m.config.MemberDeadAfter}
	for _, server := range committed.Servers {
		info, _ := m.directory.Info(server.ID)
		view.Members = append(view.Members, membership.Member{
			ID: server.ID, Name: peers.NameOf(server.ID), Voter: server.Voter, Leader: server.ID == leader,
			Alive: m.directory.Alive(server.ID, now), Kept: info.HasState,
		})
	}
	for _, info := range m.directory.Empty(now) {
		if !committed.Lists(info.ID) {
			view.Candidates = append(view.Candidates, membership.Candidate{ID: info.ID, Name: info.Name, Level: info.Level})
		}
	}
	for _, asked := range state.Enlisted {
		view.Intents = append(view.Intents, membership.Intent{Name: asked.Name, Replaces: asked.Replaces})
	}
	for _, member := range state.Members {
		view.Records = append(view.Records, membership.Record{ID: member.ID, Name: member.Name})
	}
	return view
}

// heedEvery is how often a member looks whether it still takes part.
const heedEvery = 250 * time.Millisecond

// heed ends the member once it was removed. Until it has a log it also looks for the moment when there
// is one: from then on its loss must not go unnoticed.
func (m *Member) heed(ctx context.Context, replica *consensus.Replica) {
	tick := time.NewTicker(heedEvery)
	defer tick.Stop()
	for {
		err := m.noteStanding(replica)
		if err == nil {
			err = m.dismissal(replica.Committed(), time.Now())
		}
		if err != nil {
			m.fail(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// noteStanding keeps on disk that this member has a log, and the last configuration that listed it.
func (m *Member) noteStanding(replica *consensus.Replica) error {
	if !m.kept.Load() && replica.HasLog() {
		if err := m.identity.MarkJoined(); err != nil {
			return err
		}
		m.kept.Store(true)
	}
	if committed := replica.Committed(); committed.Lists(m.ID()) {
		return m.identity.MarkListed(committed.Index)
	}
	return nil
}

// dismissal is why this member takes part no more, nil if it does.
func (m *Member) dismissal(committed consensus.Configuration, now time.Time) error {
	listedAt := m.identity.ListedAt
	removed := committed.Index > listedAt && !committed.Lists(m.ID())
	if !removed {
		_, removed = m.directory.Dismissed(listedAt, now)
	}
	if !removed {
		return nil
	}
	return api.NewProblem(api.CodeNotAMember, "member %s was removed from the cluster", m.ID()).
		WithNext("this folder is of no more use; to bring the machine back, start it with an empty --data-dir and run: stead members add %s", m.config.Name)
}
