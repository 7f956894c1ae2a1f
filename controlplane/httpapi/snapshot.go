package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

const (
	snapshotPath = "/v1/snapshot"
	reportPath   = "/v1/nodes/{id}/report"
	// slotReportPath takes what reportPath does where slots have more than a primary.
	slotReportPath = "/v1/nodes/{id}/slots"

	// snapshotMax bounds a snapshot to restore: 2^16 slots with 32 MiB of history fit several times.
	snapshotMax = 256 << 20
	// reportMax bounds the ring, or the slots, that a node reports: 2^16 slots and 65,535 nodes fit.
	reportMax = 32 << 20
	// snapshotTimeout bounds the way of a snapshot there or back.
	snapshotTimeout = 5 * time.Minute
	// decodersMax is how many snapshots and reports are held in memory at once; others wait.
	decodersMax = 4
)

// answerBound is how long the writing of a route's answer may take.
func answerBound(path string) time.Duration {
	if path == snapshotPath {
		return snapshotTimeout
	}
	return answerTimeout
}

// patient is the client without its bound.
func patient(client *http.Client) *http.Client {
	if client == nil {
		return nil // nobody to pass anything on to
	}
	unbounded := *client
	unbounded.Timeout = 0
	return &unbounded
}

// passLong passes a snapshot on to the leader as it comes; a member holds none for another.
func (f *forwarder) passLong(w http.ResponseWriter, r *http.Request, base string) error {
	ctx, cancel := context.WithTimeout(r.Context(), snapshotTimeout)
	defer cancel()
	if r.ContentLength == 0 {
		return f.send(w, r.WithContext(ctx), f.patient, base, http.NoBody, 0)
	}
	return f.send(w, r.WithContext(ctx), f.patient, base, r.Body, r.ContentLength)
}

// enter waits for one of the places for large bodies.
func (s *Server) enter(ctx context.Context) (leave func(), problem *api.Problem) {
	select {
	case s.decoders <- struct{}{}:
		return func() { <-s.decoders }, nil
	case <-ctx.Done():
		return nil, api.NewProblem(api.CodeOverloaded, "%d large requests are being read already", decodersMax)
	}
}

// saveSnapshot answers GET /v1/snapshot.
func (s *Server) saveSnapshot(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("consistency") != "stale" {
		if err := s.control.Linearize(r.Context()); err != nil {
			return err
		}
	}
	leave, problem := s.enter(r.Context())
	if problem != nil {
		return problem
	}
	defer leave()
	state := s.control.State()
	var encoded bytes.Buffer
	if err := state.Encode(&encoded); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", contentType(api.TypeSnapshot))
	header.Set("Content-Length", strconv.Itoa(encoded.Len()))
	header.Set("Cache-Control", "no-store")
	header.Set(api.HeaderCluster, string(state.Cluster))
	header.Set(api.HeaderGeneration, strconv.FormatUint(state.Generation, 10))
	header.Set(api.HeaderVersion, state.Version().String())
	header.Set(api.HeaderIndex, strconv.FormatUint(state.Index, 10))
	_, _ = w.Write(encoded.Bytes()) // the client may be gone
	return nil
}

// restoreSnapshot answers PUT /v1/snapshot.
func (s *Server) restoreSnapshot(w http.ResponseWriter, r *http.Request) error {
	force := r.URL.Query().Get("force")
	if force != "" && force != "other-cluster" {
		return api.NewProblem(api.CodeInvalid, "%q is not other-cluster", api.Clip(force)).InField("force")
	}
	leave, problem := s.enter(r.Context())
	if problem != nil {
		return problem
	}
	defer leave()
	state, err := fsm.DecodeState(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return api.NewProblem(api.CodeTooLarge, "the snapshot exceeds %d bytes", tooLarge.Limit)
	case err != nil:
		return api.NewProblem(api.CodeSnapshotDamaged, "%v", err).WithNext("look at it with: stead snapshot inspect FILE")
	case state.Level > fsm.LevelSupported:
		return api.NewProblem(api.CodeUnsupported, "the snapshot is of level %d, this version supports %d", state.Level, fsm.LevelSupported)
	}
	changed, err := s.control.Restore(r.Context(), actor(r), state, force != "")
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, changed)
}

// reportNode answers POST /v1/nodes/{id}/report: the ring that a node acted on before this generation,
// in its binary frame, or nothing if it never had one.
func (s *Server) reportNode(w http.ResponseWriter, r *http.Request) error {
	leave, problem := s.enter(r.Context())
	if problem != nil {
		return problem
	}
	defer leave()
	body, problem := wholeBody(r)
	if problem != nil {
		return problem
	}
	state := s.control.State()
	table, problem := reportedTable(state, body)
	if problem != nil {
		return problem
	}
	session := api.SessionID(r.URL.Query().Get("session"))
	return s.takeReport(w, r, state, state.ReportOf(api.NodeID(r.PathValue("id")), session, table))
}

// reportSlots answers POST /v1/nodes/{id}/slots: the configurations that a node's store had adopted before
// this generation.
func (s *Server) reportSlots(w http.ResponseWriter, r *http.Request) error {
	leave, problem := s.enter(r.Context())
	if problem != nil {
		return problem
	}
	defer leave()
	var asked api.SlotReport
	if problem := decodeLenient(r, &asked); problem != nil {
		return problem
	}
	state := s.control.State()
	report := state.ReportOfConfigs(api.NodeID(r.PathValue("id")), asked.Session, api.Version{}, asked.Slots)
	return s.takeReport(w, r, state, report)
}

// takeReport proposes a report that somebody waits for.
func (s *Server) takeReport(w http.ResponseWriter, r *http.Request, state *fsm.State, report fsm.Report) error {
	if !state.Recovers() {
		return writeJSON(w, http.StatusOK, api.Changed{Version: state.Version(), Note: "nothing waits for a report"})
	}
	result, err := s.proposeFor(w, r, "node "+r.PathValue("id"), report)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, api.Changed{Change: result.Change, Version: result.Version, Note: result.Note})
}

func reportedTable(state *fsm.State, body []byte) (*ring.Table, *api.Problem) {
	if len(body) == 0 {
		return nil, nil
	}
	view, err := ring.DecodeView(body)
	switch {
	case err != nil:
		return nil, api.NewProblem(api.CodeInvalid, "%v", err)
	case view.Table.Cluster != state.Cluster:
		return nil, api.NewProblem(api.CodeWrongCluster, "the ring reported is of cluster %s, this is %s", view.Table.Cluster, state.Cluster)
	case view.Settings.SlotBits != state.Settings.SlotBits:
		return nil, api.NewProblem(api.CodeRingGeometry, "the ring reported has 2^%d slots, not 2^%d", view.Settings.SlotBits, state.Settings.SlotBits)
	}
	return view.Table, nil
}

// alarmNames bounds how many nodes an alarm names.
const alarmNames = 10

// recoveryAlarms say who is waited for after a restore.
func recoveryAlarms(state *fsm.State) []string {
	if !state.Recovers() {
		return nil
	}
	var names []string
	waited := state.Awaiting()
	for _, id := range waited[:min(len(waited), alarmNames)] {
		names = append(names, string(id))
	}
	if more := len(waited) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return []string{fmt.Sprintf("the state was restored: %d slots recover, waiting for the report of %s; `stead nodes remove ID --force` gives a store up for lost",
		state.Recovering(), strings.Join(names, ", "))}
}
