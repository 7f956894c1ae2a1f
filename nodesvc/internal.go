package nodesvc

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/nodesvc/replication/peer"
)

// InternalPrefix begins the paths on which nodes and operators meet a node with a Service.
const InternalPrefix = "/.stead/"

// stateStall is how long one read or write of a slot's state may take on the network.
const stateStall = time.Minute

// stateType is the media type of a slot's state: what the service's Snapshot wrote.
const stateType = "application/octet-stream"

// Internal answers the paths below InternalPrefix. Guard has it before the service; a service whose guard does
// not stand before these paths serves them with Internal.
//
//	GET /.stead/peer                 connections of other nodes
//	GET /.stead/slots                what the node holds of which slots
//	GET /.stead/slots/{slot}/digest  of the slot's state; replicas with the same records have the same
//	GET /.stead/slots/{slot}/state   the slot's state, of its primary
//	PUT /.stead/slots/{slot}/state   puts another in its place, on all replicas; over=true if there is one
//
// All but the first are for operators. State is shown to and taken from nobody who does not say with
// Stead-Actor who asks: proxies let no such header through, so it never was a client.
func (n *Node) Internal() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+peer.Path, n.acceptPeer)
	mux.HandleFunc("GET /.stead/slots", forOperators(n.serveHeld))
	mux.HandleFunc("GET /.stead/slots/{slot}/digest", forOperators(n.onSlot(n.serveDigest)))
	mux.HandleFunc("GET /.stead/slots/{slot}/state", forActors(n.onSlot(n.serveState)))
	mux.HandleFunc("PUT /.stead/slots/{slot}/state", forActors(n.onSlot(n.takeState)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		api.NewProblem(api.CodeNotFound, "%s %s is not served here", api.Clip(r.Method), api.Clip(r.URL.Path)).WriteTo(w)
	})
	return mux
}

// forOperators refuses requests that came by way of a proxy, and where there is TLS all but operators'.
func forOperators(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(api.HeaderKey) != "" || r.TLS != nil && !came(r, transport.RoleOperator) {
			api.NewProblem(api.CodeForbidden, "%s is for operators, at the node itself", api.Clip(r.URL.Path)).WriteTo(w)
			return
		}
		next(w, r)
	}
}

// forActors is forOperators for what no client may ever reach.
func forActors(next http.HandlerFunc) http.HandlerFunc {
	return forOperators(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(api.HeaderActor) == "" {
			api.NewProblem(api.CodeForbidden, "the request does not say who asks").WithNext("add the header %s", api.HeaderActor).WriteTo(w)
			return
		}
		next(w, r)
	})
}

// came reports whether a request came over TLS from somebody of a role.
func came(r *http.Request, role transport.Role) bool {
	caller, known := transport.CallerOf(r.TLS)
	return known && caller.Role == role
}

// slotRequest is an operator's request about one slot.
type slotRequest struct {
	engine engine
	slot   api.Slot
	w      http.ResponseWriter
	*http.Request
}

func (n *Node) onSlot(do func(slotRequest) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		opened, view := n.keeper.Load(), n.View()
		if opened == nil || view == nil {
			n.unopened().WriteTo(w)
			return
		}
		slot, err := strconv.ParseUint(r.PathValue("slot"), 10, 32)
		if err != nil || slot >= uint64(view.Table.Bits.Slots()) {
			api.NewProblem(api.CodeInvalid, "slots are numbered from 0 to %d", view.Table.Bits.Slots()-1).InField("slot").WriteTo(w)
			return
		}
		err = do(slotRequest{opened.engine, api.Slot(slot), w, r})
		if err == nil {
			return
		}
		if problem := problemOf(err); problem.Code == api.CodeNotOwner {
			n.redirect(w, n.where(api.Slot(slot)), api.Slot(slot))
		} else {
			n.logger.Warn("operator's request failed", "path", r.URL.Path, "actor", api.Clip(r.Header.Get(api.HeaderActor)), "error", err)
			problem.WriteTo(w)
		}
	}
}

// problemOf is the problem of an error, made of it if it carries none.
func problemOf(err error) *api.Problem {
	var problem *api.Problem
	if errors.As(err, &problem) {
		return problem
	}
	return api.NewProblem(api.CodeInternal, "%v", err)
}

func (n *Node) serveHeld(w http.ResponseWriter, _ *http.Request) {
	opened := n.keeper.Load()
	if opened == nil {
		n.unopened().WriteTo(w)
		return
	}
	writeJSON(w, opened.engine.Held())
}

// SlotDigest answers GET /.stead/slots/{slot}/digest.
type SlotDigest struct {
	Slot   api.Slot      `json:"slot"`
	Seq    ownership.Seq `json:"seq"`    // of the last record in it
	Digest string        `json:"digest"` // 64 hex digits
}

func (n *Node) serveDigest(r slotRequest) error {
	seq, digest, err := r.engine.Digest(r.slot)
	if err == nil {
		writeJSON(r.w, SlotDigest{Slot: r.slot, Seq: seq, Digest: hex.EncodeToString(digest[:])})
	}
	return err
}

// serveState streams a slot's state. Once it has begun, a failure breaks the connection off: no reader takes
// a part for the whole.
func (n *Node) serveState(r slotRequest) error {
	out := &steady{ResponseWriter: r.w, limits: http.NewResponseController(r.w)}
	err := r.engine.Backup(r.Context(), r.slot, func(epoch api.Epoch, seq ownership.Seq) (io.Writer, error) {
		header := r.w.Header()
		header.Set("Content-Type", stateType)
		header.Set(api.HeaderEpoch, formatEpoch(epoch))
		header.Set(api.HeaderSeq, strconv.FormatUint(uint64(seq), 10))
		out.begun = true
		return out, nil
	})
	if err != nil && out.begun {
		n.logger.Warn("state was not sent whole", "slot", r.slot, "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// takeState puts the body in the place of a slot's state.
func (n *Node) takeState(r slotRequest) error {
	query := r.URL.Query()
	over, err := strconv.ParseBool(query.Get("over"))
	if query.Has("over") && err != nil {
		return api.NewProblem(api.CodeInvalid, "it is true or false").InField("over")
	}
	in := &steadyBody{Reader: r.Body, limits: http.NewResponseController(r.w)}
	if err := r.engine.Restore(r.Context(), r.slot, in, over); err != nil {
		return err
	}
	n.logger.Warn("state restored", "slot", r.slot, "actor", api.Clip(r.Header.Get(api.HeaderActor)))
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}

// steady bounds each write by itself in place of the answer: a slot may be large, a reader may not stall.
type steady struct {
	http.ResponseWriter
	limits *http.ResponseController
	begun  bool
}

// Write sends a part of the state.
func (s *steady) Write(part []byte) (int, error) {
	_ = s.limits.SetWriteDeadline(time.Now().Add(stateStall)) // a server of tests may not know how
	return s.ResponseWriter.Write(part)
}

// steadyBody bounds each read by itself in place of the request.
type steadyBody struct {
	io.Reader
	limits *http.ResponseController
}

// Read takes a part of the state.
func (s *steadyBody) Read(part []byte) (int, error) {
	_ = s.limits.SetReadDeadline(time.Now().Add(stateStall))
	_ = s.limits.SetWriteDeadline(time.Now().Add(2 * stateStall)) // of the answer behind it
	n, err := s.Reader.Read(part)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("the body did not come whole: %v", err) // and is no end of any kind
	}
	return n, err
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", api.TypeJSON)
	_ = json.NewEncoder(w).Encode(value)
}
