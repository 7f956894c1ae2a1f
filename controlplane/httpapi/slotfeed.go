package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// slotsPath is where slots are told of. Its long-polls are not timed.
const slotsPath = "/v1/slots"

// slotCoalesce has a flood of changes go out ten times a second. What a node proposed itself it hears at once, and
// nodes tell each other; what waits for this are plans and successions, which are no flood.
const slotCoalesce = 100 * time.Millisecond

// slotFeed tells of the configurations of slots, by the log index at which any of them changed last.
var slotFeed = feed{
	coalesce: slotCoalesce,
	mark: func(state *fsm.State) api.Version {
		return api.Version{Generation: state.Generation, Number: state.SlotsIndex()}
	},
	read: func(state *fsm.State) (content, error) { return slotContent{state}, nil },
}

// slotContent is the slots of one state. It is told up to the state's own index, not only up to the last
// change: nothing changed in between, and a node compares it with the index of its registration.
type slotContent struct{ state *fsm.State }

func (c slotContent) encode(kind answerKind) ([]byte, *api.Problem, error) {
	full := kind.from.Generation != c.state.Generation
	body, err := json.Marshal(api.SlotFeed{
		Cluster: c.state.Cluster, Version: c.state.Version(), Cursor: cursorOf(c.state),
		Full: full, Settings: c.state.Settings,
		Nodes: c.state.SlotNodes(), Slots: c.state.SlotsSince(kind.from.Number, full),
	})
	return append(body, '\n'), nil, err
}

func cursorOf(state *fsm.State) api.SlotCursor {
	return api.SlotCursor{Generation: state.Generation, Index: state.Index}
}

// pollSlots answers GET /v1/slots.
func (s *Server) pollSlots(w http.ResponseWriter, r *http.Request) error {
	if accepts, problem := parseAccept(r.Header.Get("Accept")); problem != nil || accepts.full != api.TypeJSON {
		return api.NewProblem(api.CodeNotAcceptable, "slots come as %s", api.TypeJSON)
	}
	current := s.slots.answering(r)
	if current.state == nil {
		return api.NewProblem(api.CodeNoLeader, "the slots are not known here yet")
	}
	if current.trouble != nil && r.URL.Query().Get("consistency") != "stale" {
		return current.trouble
	}
	if !r.URL.Query().Has("after") {
		return s.writeSlots(w, r, current, api.Version{})
	}
	after, err := api.ParseSlotCursor(r.URL.Query().Get("after"))
	if err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("after")
	}
	wait, problem := parseWait(r)
	if problem != nil {
		return problem
	}
	from := api.Version{Generation: after.Generation, Number: after.Index}
	news, problem := s.slots.await(r.Context(), current, from, wait)
	if problem != nil {
		return problem
	}
	if news == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.writeSlots(w, r, news, from)
}

func (s *Server) writeSlots(w http.ResponseWriter, r *http.Request, p *published, from api.Version) error {
	if from.Generation != p.state.Generation {
		from = api.Version{} // all of it, as everybody gets who cannot go on from what they have
	}
	body, problem, err := p.encoded(answerKind{media: api.TypeJSON, from: from, gzip: acceptsGzip(r.Header.Get("Accept-Encoding"))})
	if problem != nil {
		return problem
	}
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept-Encoding")
	writeEncoded(w, api.TypeJSON, body)
	return nil
}
