package httpapi

import (
	"net/http"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// listMembers answers GET /v1/members.
func (s *Server) listMembers(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, s.control.MemberList())
}

// addMember answers POST /v1/members: accepted, for it takes as long as the new member needs.
func (s *Server) addMember(w http.ResponseWriter, r *http.Request) error {
	var ask api.MemberAdd
	if problem := decodeStrict(r, &ask); problem != nil {
		return problem
	}
	member, err := s.control.AddMember(r.Context(), originOf(r), ask)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, member)
}

// removeMember answers DELETE /v1/members/{id}, the id or the name.
func (s *Server) removeMember(w http.ResponseWriter, r *http.Request) error {
	if err := s.control.RemoveMember(r.Context(), originOf(r), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// originOf is who sent a request, on what conditions.
func originOf(r *http.Request) fsm.Origin {
	origin := conditions(r.Context())
	origin.Actor = actor(r)
	return origin
}
