package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
)

const (
	// leaderPatience is how long a request waits for a leader. An election takes a fraction of it, and clients of
	// package client wait longer for one member.
	leaderPatience = 2 * time.Second
	// leaderLook is how often a request that waits looks for a leader.
	leaderLook = 20 * time.Millisecond
)

// leadWithPatience is lead for who may know no other member, such as a person with curl: when a leader is lost, the
// request is for its successor. A member that is cut off says so at once. A snapshot is sent once: nobody holds it.
func (s *Server) leadWithPatience(route route, consistency string, w http.ResponseWriter, r *http.Request) error {
	deadline := time.Now().Add(leaderPatience)
	for s.leaderless() && s.waits(r, deadline) {
	}
	if route.path == snapshotPath {
		return s.lead(route, consistency, w, r)
	}
	body, problem := wholeBody(r)
	if problem != nil {
		return problem
	}
	for {
		r.Body = io.NopCloser(bytes.NewReader(body))
		err := s.lead(route, consistency, w, r)
		passedOn := r.Header.Get(api.HeaderForwarded) != "" // who did that asks the successor
		if passedOn || !isForSuccessor(r, err) || !s.waits(r, deadline) {
			return err
		}
		for s.leaderless() && s.waits(r, deadline) {
		}
	}
}

// leaderless: this member neither leads, having taken up its duties, nor knows who does.
func (s *Server) leaderless() bool {
	if s.control.IsLeader() {
		return false
	}
	_, elsewhere := s.control.LeaderURL()
	return !elsewhere
}

// waits pauses a request, and reports whether there may still be a leader for it in time.
func (s *Server) waits(r *http.Request, deadline time.Time) bool {
	if !time.Now().Before(deadline) || !s.control.InTouch() {
		return false
	}
	pause := time.NewTimer(leaderLook)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// isForSuccessor: the leader did not do it, or may have, and would not do it twice.
func isForSuccessor(r *http.Request, err error) bool {
	switch api.CodeOf(err) {
	case api.CodeNoLeader:
		return true
	case api.CodeAmbiguous:
		return r.Header.Get(api.HeaderIdempotencyKey) != ""
	default:
		return false
	}
}
