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

// boundMoves cuts what a node says of its moves to what there is room for. It refuses nothing: a beat says
// above all that the node lives.
func boundMoves(moves *api.Moves) {
	if moves == nil {
		return
	}
	moves.Blocked = slices.DeleteFunc(moves.Blocked, func(b api.MoveBlocked) bool { return b.To != "" && b.To.Validate() != nil })
	moves.Blocked = moves.Blocked[:min(len(moves.Blocked), api.MovesBlockedMax)]
	for i, blocked := range moves.Blocked {
		moves.Blocked[i].Reason = blocked.Reason[:min(len(blocked.Reason), reasonLengthMax)]
	}
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
