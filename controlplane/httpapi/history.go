package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// listVersions answers GET /v1/ring/versions.
func (s *Server) listVersions(w http.ResponseWriter, r *http.Request) error {
	before, limit, problem := page(r)
	if problem != nil {
		return problem
	}
	state := s.control.State()
	versions, more := state.Versions(before, limit)
	list := api.VersionList{Versions: versions, Oldest: state.OldestVersion()}
	if more {
		list.Next = versions[len(versions)-1].Version.Number
	}
	return writeJSON(w, http.StatusOK, list)
}

// showVersion answers GET /v1/ring/versions/{version}.
func (s *Server) showVersion(w http.ResponseWriter, r *http.Request) error {
	state := s.control.State()
	version, problem := parseVersion(r.PathValue("version"), state.Generation)
	if problem != nil {
		return problem
	}
	past, problem := pastAt(state, version)
	if problem != nil {
		return problem
	}
	versions, _ := state.Versions(version.Number+1, 1)
	shown := api.RingVersion{Version: version, Cause: "the oldest kept"}
	if len(versions) == 1 && versions[0].Version == version {
		shown = versions[0]
	}
	shown.Digest = past.Table.Digest().String()
	return writeJSON(w, http.StatusOK, shown)
}

func pastAt(state *fsm.State, version api.Version) (fsm.Past, *api.Problem) {
	switch {
	case version.Generation > state.Generation:
		return fsm.Past{}, api.NewProblem(api.CodeVersionUnknown, "the ring is in generation %d", state.Generation)
	case version.Generation < state.Generation:
		problem := api.NewProblem(api.CodeVersionGone, "generation %d is no longer kept", version.Generation)
		problem.Oldest = state.OldestVersion().String()
		return fsm.Past{}, problem
	}
	return state.At(version.Number)
}

// listChanges answers GET /v1/ring/changes.
func (s *Server) listChanges(w http.ResponseWriter, r *http.Request) error {
	before, limit, problem := page(r)
	if problem != nil {
		return problem
	}
	state := s.control.State()
	changes, more := state.Changes(api.ChangeID(before), limit)
	list := api.ChangeList{Changes: []api.Change{}, Oldest: state.OldestChange()}
	for _, change := range changes {
		list.Changes = append(list.Changes, s.showProgress(change.Show()))
	}
	if more {
		list.Next = changes[len(changes)-1].ID
	}
	return writeJSON(w, http.StatusOK, list)
}

// showChange answers GET /v1/ring/changes/{id}.
func (s *Server) showChange(w http.ResponseWriter, r *http.Request) error {
	id, problem := changeOf(r)
	if problem != nil {
		return problem
	}
	change, problem := s.control.State().Change(id)
	if problem != nil {
		return problem
	}
	shown := s.showProgress(change.Show())
	shown.Want = change.Want()
	return writeJSON(w, http.StatusOK, shown)
}

func changeOf(r *http.Request) (api.ChangeID, *api.Problem) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 53)
	if err != nil {
		return 0, api.NewProblem(api.CodeInvalid, "%q is not a change id", api.Clip(r.PathValue("id"))).InField("id")
	}
	return api.ChangeID(id), nil
}

// diffRing answers GET /v1/ring/diff?from=&to=, or ?change= for what one change did.
func (s *Server) diffRing(w http.ResponseWriter, r *http.Request) error {
	state := s.control.State()
	query := r.URL.Query()
	if query.Has("change") {
		return s.diffChange(w, state, query)
	}
	if query.Get("from") == "" {
		return api.NewProblem(api.CodeInvalid, "a version such as 7 or 1-7, or a change such as c3, is needed").InField("from")
	}
	from, problem := point(state, query.Get("from"))
	if problem != nil {
		return inField(problem, "from")
	}
	to := fsm.Past{Table: state.Table(), Settings: state.Settings}
	if text := query.Get("to"); text != "" {
		if to, problem = point(state, text); problem != nil {
			return inField(problem, "to")
		}
	}
	return writeJSON(w, http.StatusOK, ring.Diff(from.Table, to.Table))
}

// diffChange compares the ring before the first version that a change made with the ring it led to.
func (s *Server) diffChange(w http.ResponseWriter, state *fsm.State, query url.Values) error {
	if query.Has("from") || query.Has("to") {
		return api.NewProblem(api.CodeInvalid, "a change is compared by itself, without from and to").InField("change")
	}
	id, err := strconv.ParseUint(strings.TrimPrefix(query.Get("change"), "c"), 10, 53)
	if err != nil {
		return api.NewProblem(api.CodeInvalid, "%q is not a change such as c3", api.Clip(query.Get("change"))).InField("change")
	}
	change, problem := state.Change(api.ChangeID(id))
	if problem != nil {
		return problem
	}
	from := change.First
	// A change that touched nothing when it was recorded names the version it was recorded at.
	if made, _ := state.Versions(from.Number+1, 1); len(made) == 1 && made[0].Version == from && made[0].Change == change.ID {
		from.Number--
	}
	before, problem := pastAt(state, from)
	if problem != nil {
		return problem
	}
	after, problem := pastAt(state, change.Last)
	if problem != nil {
		return problem
	}
	return writeJSON(w, http.StatusOK, ring.Diff(before.Table, after.Table))
}

func inField(problem *api.Problem, field string) *api.Problem {
	if problem.Code == api.CodeInvalid {
		problem.Field = field
	}
	return problem
}

// point finds the ring at a version ("7", "1-7") or as a change left it ("c3").
func point(state *fsm.State, text string) (fsm.Past, *api.Problem) {
	if number, isChange := strings.CutPrefix(text, "c"); isChange {
		id, err := strconv.ParseUint(number, 10, 53)
		if err != nil {
			return fsm.Past{}, api.NewProblem(api.CodeInvalid, "%q is not a change such as c3", api.Clip(text))
		}
		change, problem := state.Change(api.ChangeID(id))
		if problem != nil {
			return fsm.Past{}, problem
		}
		return pastAt(state, change.Last)
	}
	version, problem := parseVersion(text, state.Generation)
	if problem != nil {
		return fsm.Past{}, problem
	}
	return pastAt(state, version)
}

// locateKey answers GET /v1/ring/locate?key= or ?key_hex=.
func (s *Server) locateKey(w http.ResponseWriter, r *http.Request) error {
	key, problem := api.AskedKey(r.URL.Query())
	if problem != nil {
		return problem
	}
	state := s.control.State()
	view, err := ring.NewView(state.Settings, state.Table())
	if err != nil {
		return err
	}
	location := view.Location(key)
	for i := range location.Replicas {
		if node := state.Node(location.Replicas[i].ID); node != nil {
			location.Replicas[i].PublicAddress = node.Registration.PublicAddress
		}
	}
	return writeJSON(w, http.StatusOK, location)
}
