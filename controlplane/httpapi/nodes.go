package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/planner"
)

// settleWait bounds how long an operator's write waits for the plan it asked for.
const settleWait = 3 * time.Second

// registerNode answers POST /v1/nodes.
func (s *Server) registerNode(w http.ResponseWriter, r *http.Request) error {
	asked := api.Registration{}.WithDefaults() // before reading: a zero that was sent is a zero
	if problem := decodeStrict(r, &asked); problem != nil {
		return problem
	}
	if asked.Check != nil {
		asked = asked.WithDefaults()
	}
	if problem := asked.Validate(); problem != nil {
		return problem
	}
	if problem := speaksFor(r, transport.RoleNode, string(asked.ID)); problem != nil {
		return problem
	}
	if problem := s.control.CheckNode(asked); problem != nil {
		return problem
	}
	by := actor(r)
	if by == anonymous {
		by = "node " + string(asked.ID)
	}
	result, err := s.proposeFor(w, r, by, fsm.Register{Registration: asked})
	if err != nil {
		return err
	}
	began, err := api.ParseSlotCursor(string(result.Node.Session)) // it is named after where it began
	if err != nil {
		return err
	}
	_ = s.control.Beat(asked.ID, api.Beat{Session: result.Node.Session}, time.Now()) // it lives: it just spoke
	status := http.StatusOK
	if result.Created {
		status = http.StatusCreated
	}
	return writeJSON(w, status, api.Registered{
		Node:    s.show(result.Node, nil),
		Session: result.Node.Session, BeatEvery: beatEvery(asked),
		Change: result.Change, Version: result.Version, Note: s.joinNote(result),
		Report: asked.Reports && s.control.State().Recovers(), Cursor: began,
	})
}

// beatEvery lets several beats fit into half a ttl, when the node turns suspect.
func beatEvery(asked api.Registration) api.Duration {
	if asked.Lease == api.LeaseNone {
		return 0
	}
	return min(api.Duration(api.NodeBeatInterval), asked.TTL/8)
}

// joinNote tells a new node that it will hold nothing, when the others keep what they have.
func (s *Server) joinNote(result fsm.Result) string {
	state := s.control.State()
	if !result.Created || state.Recovers() || state.Managed() {
		return ""
	}
	keeping := 0
	for index, slots := range state.SlotsHeld() {
		if holder := state.NodeAt(index); holder != nil && !holder.Resets() {
			keeping += slots
		}
	}
	if keeping < state.SlotCount() {
		return ""
	}
	return "holds no slots yet: the other nodes keep theirs (on_down: wait); `stead ring rebalance` moves some, and their state stays behind"
}

// show writes a node for the API; held may be nil when slots are not counted.
func (s *Server) show(node *fsm.Node, held map[uint16]int) api.Node {
	shown := api.Node{
		Registration: node.Registration,
		Status:       node.Status, Draining: node.Draining,
		Registered: time.UnixMilli(node.Registered).UTC(), Since: time.UnixMilli(node.Since).UTC(),
		Slots: held[uint16(node.Index)],
	}
	if node.Maintained(s.control.State().Time()) {
		until := time.UnixMilli(node.Maintenance).UTC()
		shown.Maintenance = &until
	}
	if ago, load, known := s.control.LastHeard(node.Registration.ID, time.Now()); known {
		rounded := api.Duration(ago.Round(time.Millisecond))
		shown.LastBeat, shown.Load = &rounded, load
	}
	shown.Moves = s.control.MovesOf(node.Registration.ID, time.Now())
	return shown
}

func slotsHeld(state *fsm.State) map[uint16]int {
	held := make(map[uint16]int)
	for index, slots := range state.SlotsHeld() {
		held[uint16(index)] = slots
	}
	return held
}

// listNodes answers GET /v1/nodes.
func (s *Server) listNodes(w http.ResponseWriter, _ *http.Request) error {
	state := s.control.State()
	held := slotsHeld(state)
	list := api.NodeList{Nodes: []api.Node{}, Version: state.Version()}
	for _, node := range state.Nodes() {
		list.Nodes = append(list.Nodes, s.show(node, held))
	}
	return writeJSON(w, http.StatusOK, list)
}

// showNode answers GET /v1/nodes/{id}.
func (s *Server) showNode(w http.ResponseWriter, r *http.Request) error {
	state := s.control.State()
	node := state.Node(api.NodeID(r.PathValue("id")))
	if node == nil {
		return api.NewProblem(api.CodeNodeUnknown, "no node %s is registered", api.Clip(r.PathValue("id")))
	}
	return writeJSON(w, http.StatusOK, s.show(node, slotsHeld(state)))
}

// beatNode answers POST /v1/nodes/{id}/beat.
func (s *Server) beatNode(w http.ResponseWriter, r *http.Request) error {
	var beat api.Beat
	if problem := decodeLenient(r, &beat); problem != nil {
		return problem
	}
	boundMoves(beat.Moves)
	id := api.NodeID(r.PathValue("id"))
	if problem := s.control.Beat(id, beat, time.Now()); problem != nil {
		return problem
	}
	if beat.Leaving {
		s.awaitState(r.Context(), func(state *fsm.State) bool {
			node := state.Node(id)
			return node == nil || node.Status == api.NodeDown
		})
	}
	state := s.control.State()
	answer := api.Beaten{Version: state.Version()}
	if node := state.Node(id); node != nil {
		answer.Status = node.Status
	}
	return writeJSON(w, http.StatusOK, answer)
}

// awaitState waits until a command that is on its way has had its effect, at most settleWait.
func (s *Server) awaitState(ctx context.Context, reached func(*fsm.State) bool) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for {
		changed := s.control.Changed()
		if reached(s.control.State()) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) drainNode(w http.ResponseWriter, r *http.Request) error {
	return s.changeRing(w, r, fsm.Drain{Node: api.NodeID(r.PathValue("id")), On: true}, nil)
}

func (s *Server) undrainNode(w http.ResponseWriter, r *http.Request) error {
	return s.changeRing(w, r, fsm.Drain{Node: api.NodeID(r.PathValue("id"))}, nil)
}

// patchNode answers PATCH /v1/nodes/{id}.
func (s *Server) patchNode(w http.ResponseWriter, r *http.Request) error {
	var patch api.NodePatch
	return s.changeRing(w, r, nil, func() (fsm.Command, *api.Problem) {
		if problem := decodeStrict(r, &patch); problem != nil {
			return nil, problem
		}
		if patch.Weight == nil && patch.Zone == nil {
			return nil, api.NewProblem(api.CodeInvalid, "neither weight nor zone is given")
		}
		return fsm.Patch{Node: api.NodeID(r.PathValue("id")), Patch: patch}, nil
	})
}

// removeNode answers DELETE /v1/nodes/{id}.
func (s *Server) removeNode(w http.ResponseWriter, r *http.Request) error {
	force := r.URL.Query().Get("force")
	if force != "" && force != "lossy" {
		return api.NewProblem(api.CodeInvalid, "%q is not lossy", api.Clip(force)).InField("force")
	}
	return s.changeRing(w, r, fsm.Remove{Node: api.NodeID(r.PathValue("id")), Force: force == "lossy"}, nil)
}

func (s *Server) rebalanceRing(w http.ResponseWriter, r *http.Request) error {
	return s.changeRing(w, r, nil, func() (fsm.Command, *api.Problem) {
		return fsm.Rebalance{}, decodeStrict(r, &api.Rebalance{})
	})
}

// changeRing answers an operator's command with the plan it led to.
func (s *Server) changeRing(w http.ResponseWriter, r *http.Request, command fsm.Command, read func() (fsm.Command, *api.Problem)) error {
	answer, err := s.change(w, r, command, read)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// change proposes an operator's command and waits for the plan it leads to.
func (s *Server) change(w http.ResponseWriter, r *http.Request, command fsm.Command, read func() (fsm.Command, *api.Problem)) (api.Changed, error) {
	if read != nil {
		var problem *api.Problem
		if command, problem = read(); problem != nil {
			return api.Changed{}, problem
		}
	} else if problem := decodeStrict(r, &struct{}{}); problem != nil {
		return api.Changed{}, problem
	}
	before := s.control.State()
	result, err := s.propose(w, r, command)
	if err != nil {
		return api.Changed{}, err
	}
	answer := api.Changed{Change: result.Change, Version: result.Version, Note: result.Note}
	if change := s.awaitPlan(r.Context(), result.Change); change != nil {
		answer.Version, answer.LeavesState = change.Last, change.LeavesState
		if change.Status == api.ChangePending {
			answer.Note = "recorded; the ring follows within seconds"
		} else if answer.Note == "" {
			answer.Note = planner.FewerCopies(before, s.control.State())
		}
	}
	return answer, nil
}

// awaitPlan waits until the planner has answered a change that is planned at once; an undrain waits for
// others of its kind, and nobody for it.
func (s *Server) awaitPlan(ctx context.Context, id api.ChangeID) *fsm.Change {
	planned := func(state *fsm.State) (*fsm.Change, bool) {
		change, problem := state.Change(id)
		return change, problem != nil || change.Status != api.ChangePending || change.Kind == "undrain"
	}
	if id == 0 {
		return nil
	}
	s.awaitState(ctx, func(state *fsm.State) bool { _, done := planned(state); return done })
	change, _ := planned(s.control.State())
	return change
}
