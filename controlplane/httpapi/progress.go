package httpapi

import (
	"cmp"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

const (
	// reasonLengthMax bounds what a node says of why a slot cannot move.
	reasonLengthMax = 200
	// endMax is how far away an end is estimated.
	endMax = 30 * 24 * time.Hour
)

// boundMoves refuses moves that name more than there is room for.
func boundMoves(moves *api.Moves) *api.Problem {
	if moves == nil {
		return nil
	}
	if len(moves.Blocked) > api.MovesBlockedMax {
		return api.NewProblem(api.CodeInvalid, "%d are more than %d", len(moves.Blocked), api.MovesBlockedMax).InField("moves.blocked")
	}
	for i, blocked := range moves.Blocked {
		if len(blocked.Reason) > reasonLengthMax {
			moves.Blocked[i].Reason = blocked.Reason[:reasonLengthMax]
		}
		if err := blocked.To.Validate(); err != nil {
			return api.NewProblem(api.CodeInvalid, "%v", err).InField("moves.blocked")
		}
	}
	return nil
}

// showProgress adds to a change that runs what the nodes told the leader of their moves. They do not say for
// which change a slot moves: with several under way, each shows what all of them come to.
func (s *Server) showProgress(change api.Change) api.Change {
	if change.Status != api.ChangeRunning {
		return change
	}
	now := time.Now()
	pace := s.control.Pace(change.Time, now)
	progress := &change.Progress
	progress.Bytes, progress.BytesLeft, progress.Rate = pace.Bytes, pace.BytesLeft, pace.Rate
	if left := float64(pace.BytesLeft) / float64(pace.Rate); pace.BytesLeft > 0 && left < endMax.Seconds() {
		end := now.Add(time.Duration(left * float64(time.Second))).UTC().Truncate(time.Second)
		progress.End = &end
	}
	slices.SortFunc(pace.Blocked, func(a, b api.MoveBlocked) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.To, b.To))
	})
	progress.Blocked = pace.Blocked[:min(len(pace.Blocked), api.MovesBlockedMax)]
	return change
}
