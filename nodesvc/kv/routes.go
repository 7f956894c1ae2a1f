package kv

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// routes dispatches on the raw path. An http.ServeMux would clean it, and two names that differ
// would become one.
func (s *Server) routes() http.Handler {
	entries := s.node.Guard(http.HandlerFunc(s.serveEntry))
	fixed := map[string]http.Handler{
		"/v1/slots": readOnly(s.serveSlots),
		"/livez":    readOnly(serveLive),
		"/readyz":   readOnly(s.serveReady),
		"/metrics":  s.metrics.handler(),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := rawPath(r.RequestURI)
		handler, known := fixed[path]
		switch {
		case strings.HasPrefix(path, entryPrefix) || strings.HasPrefix(path, nodesvc.InternalPrefix):
			entries.ServeHTTP(w, r)
		case known:
			handler.ServeHTTP(w, r)
		default:
			api.NewProblem(api.CodeNotFound, "%s is not served here", api.Clip(r.RequestURI)).
				WithNext("entries live at /kv/{name}, the node's slots at /v1/slots").WriteTo(w)
		}
	})
}

func readOnly(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allow(w, r, http.MethodGet, http.MethodHead) {
			handler(w, r)
		}
	})
}

// allow answers 405 to other methods and reports whether the request may go on.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	api.NewProblem(api.CodeMethodNotAllowed, "%s is not one of %s", api.Clip(r.Method), strings.Join(methods, ", ")).WriteTo(w)
	return false
}

// Holding answers GET /v1/slots: what the node is primary of in the ring it knows.
type Holding struct {
	Node    api.NodeID         `json:"node"`
	Version api.Version        `json:"version"`
	Slots   []nodesvc.SlotInfo `json:"slots"` // ascending
}

// serveSlots does not count keys: that would read all of them.
func (s *Server) serveSlots(w http.ResponseWriter, _ *http.Request) {
	holding := Holding{Node: s.node.ID(), Slots: s.node.Slots()}
	if view := s.node.View(); view != nil {
		holding.Version = view.Table.Version
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	_ = json.NewEncoder(w).Encode(holding)
}

func serveLive(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "alive\n")
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if problem := s.node.Ready(); problem != nil {
		problem.WriteTo(w)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}
