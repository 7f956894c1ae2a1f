package httpapi

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/planner"
)

// planned is a member whose leader plans as soon as anything changes.
type planned struct{ *played }

func (p planned) Propose(ctx context.Context, origin fsm.Origin, command fsm.Command) (fsm.Result, error) {
	result, err := p.played.Propose(ctx, origin, command)
	state := p.State()
	if agenda := planner.Due(state, planner.Policy{}, nil, time.Now()); err == nil && len(agenda.Settle) > 0 {
		want, _ := planner.Plan(state, agenda.Settle)
		p.apply(fsm.Want{Base: state.PlanBase(), Want: fsm.PackWant(want), Changes: agenda.Settle})
	}
	return result, err
}

// TestDrainTellsOfFewerCopies: of three nodes with two replicas a slot, one can go without a word.
func TestDrainTellsOfFewerCopies(t *testing.T) {
	s := newSlotStage(t)
	s.server = New(Config{Control: planned{s.played}, Logger: slog.New(slog.DiscardHandler)})
	f := func(path, want string) {
		t.Helper()
		var changed api.Changed
		if got := s.ask("POST", path, "", &changed); got.Code != 200 || !strings.HasPrefix(changed.Note, want) || want == "" && changed.Note != "" {
			t.Errorf("%s: %d, %q, want %q", path, got.Code, changed.Note, want)
		}
	}
	f("/v1/nodes/n3/drain", "")
	f("/v1/nodes/n2/drain", "256 slots are left with one copy, not 2: ")
	f("/v1/nodes/n2/drain", "nothing to change")
	f("/v1/nodes/n2/undrain", "")
}
