package controlplane

import (
	"context"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/planner"
)

// ProposeAlone replicates the command that is made of the present state, and lets no other be proposed
// from the look at it to the result: a plan would otherwise be overtaken for ever where many nodes join.
func (m *Member) ProposeAlone(_ context.Context, origin fsm.Origin, plan func(*fsm.State) (fsm.Command, error)) (fsm.Result, error) {
	m.turn.Lock()
	defer m.turn.Unlock()
	command, err := plan(m.State())
	if err != nil || command == nil {
		return fsm.Result{}, err
	}
	return m.replicate(origin, command)
}

// Settleable lists the pending changes that a plan made of a state now would answer: joins at once, and
// of expiries what the governor lets pass.
func (m *Member) Settleable(state *fsm.State, now time.Time) []api.ChangeID {
	policy := m.policy()
	policy.Delay = 0
	settle := planner.Due(state, policy, nil, now).Settle
	if m.duties.ledFor(now) >= evictAfterElection {
		return settle
	}
	return slices.DeleteFunc(settle, func(id api.ChangeID) bool { return anyExpired(state, []api.ChangeID{id}) })
}
