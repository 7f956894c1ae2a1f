package controlplane

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/planner"
)

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
