package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
)

const (
	// rosterWait is how long a member's question for a newer roster is held.
	rosterWait = 5 * time.Second
	// rosterCoalesce is the window after a roster in which later ones are gathered.
	rosterCoalesce = 50 * time.Millisecond
	// rosterRetry is the pause before the leader is asked again that did not answer.
	rosterRetry = 250 * time.Millisecond
	// reasonMax is how much of a refusal is read.
	reasonMax = 1 << 10
)

// pollRoster answers GET /v1/roster, which members ask their leader: a roster that is newer than
// ?after=, or 204 when none came in time.
func (s *Server) pollRoster(w http.ResponseWriter, r *http.Request) error {
	after, err := api.ParseRosterMark(r.URL.Query().Get("after"))
	if err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("after")
	}
	deadline := time.NewTimer(rosterWait)
	defer deadline.Stop()
	for {
		changed := s.control.RosterChanged()
		roster := s.control.Roster()
		if !s.control.IsLeader() {
			return api.NewProblem(api.CodeNoLeader, "this member leads no longer")
		}
		// Of an earlier term it is what this leader inherited, and not yet what it says.
		if roster != nil && roster.Mark.Term == s.control.Term() && after.Before(roster.Mark) {
			return writeJSON(w, http.StatusOK, roster)
		}
		select {
		case <-changed:
		case <-deadline.C:
			w.WriteHeader(http.StatusNoContent)
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// FollowRoster keeps this member's roster the leader's, until ctx ends. Without a leader it stays as
// it is.
func (s *Server) FollowRoster(ctx context.Context) {
	for ctx.Err() == nil {
		pause := leaderCheck
		if base, known := s.control.LeaderURL(); known {
			pause = rosterCoalesce
			if err := s.askRoster(ctx, base); err != nil {
				s.logger.Debug("the leader told no roster", "error", err)
				pause = rosterRetry
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// askRoster asks once for a roster newer than the one known, and gives up when another member leads.
func (s *Server) askRoster(ctx context.Context, base string) error {
	ctx, stop := s.forward.whileLeading(ctx)
	defer stop()
	var after api.RosterMark
	if known := s.control.Roster(); known != nil {
		after = known.Mark
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/roster?after="+after.String(), nil)
	if err != nil {
		return fmt.Errorf("cannot ask for the roster: %w", err)
	}
	request.Header.Set(api.HeaderForwarded, string(s.control.ID())) // the leader itself, or nobody
	response, err := s.forward.http.Do(request)
	if err != nil {
		return fmt.Errorf("cannot ask for the roster: %w", err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusOK:
	default:
		reason, _ := io.ReadAll(io.LimitReader(response.Body, reasonMax))
		return fmt.Errorf("cannot ask for the roster: %s answers %d %s", base, response.StatusCode, reason)
	}
	var roster api.Roster
	if err := json.NewDecoder(io.LimitReader(response.Body, api.RosterMax)).Decode(&roster); err != nil {
		return fmt.Errorf("cannot read the roster: %w", err)
	}
	s.control.AdoptRoster(roster)
	return nil
}
