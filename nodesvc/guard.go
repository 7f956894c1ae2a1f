package nodesvc

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// verdict is what a node does with a request for a slot.
type verdict uint8

const (
	serve    verdict = iota // the node is primary
	redirect                // it is not: nothing of the request is applied
	park                    // the slot is coming, or the request was routed by a newer ring than the node knows
)

// judge decides by what the node knows alone: an older stamp at the primary is served, a newer one waits for
// the node to know as much.
func judge(where replication.Where, stamp api.Epoch) verdict {
	switch {
	case stamp > where.Epoch, where.Place == replication.PlaceComing:
		return park
	case where.Place == replication.PlaceHere:
		return serve
	default:
		return redirect
	}
}

// Guard lets a request through to next only while this node is primary of its key's slot; KeyOf,
// SlotOf and RouteOf then tell next what was found. Any other request gets its answer here: 421
// names the node that holds the slot, and of such a request nothing was applied, not even its body
// read. Answers carry the epoch the node knows, but for a 421 that is next's own. With a Service, paths below
// InternalPrefix are the node's own.
func (n *Node) Guard(next http.Handler) http.Handler {
	internal := n.Internal()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.config.Service != nil && strings.HasPrefix(r.URL.Path, InternalPrefix) {
			internal.ServeHTTP(w, r)
			return
		}
		if problem := checkCaller(r); problem != nil {
			n.refuse(w, problem)
			return
		}
		inside := n.gate.enter()
		if inside {
			defer n.gate.leave()
		}
		n.awaitKnowledge(r)
		route, problem := n.routeOf(r)
		switch {
		case !inside && (problem != nil || route.Key == nil || !n.gone(route.Slot)):
			n.refuse(w, draining())
		case problem != nil:
			n.refuse(w, problem)
		case !inside:
			n.stats.redirected.Add(1)
			n.redirect(w, n.where(route.Slot), route.Slot)
		case route.Key == nil:
			n.stats.served.Add(1)
			n.passage(r, route).pass(next, w, r)
		default:
			n.admit(w, r, next, route)
		}
	})
}

// routeOf reads a request's route by the newest ring, and fails while the node does not know enough to serve.
func (n *Node) routeOf(r *http.Request) (Route, *api.Problem) {
	view := n.View()
	if view == nil {
		return Route{}, noRing()
	}
	if n.config.Service != nil && n.keeper.Load() == nil {
		return Route{}, n.unopened()
	}
	return readRoute(r.Header, view)
}

// gone reports whether a node that is leaving has handed the slot over: its late requests need not fail.
func (n *Node) gone(slot api.Slot) bool {
	return n.keeper.Load() != nil && n.Err() == nil && n.where(slot).Place == replication.PlaceElsewhere
}

func (n *Node) passage(r *http.Request, route Route) *passage {
	return &passage{node: n, route: route, local: r.Header.Get(api.HeaderRead) == api.ReadLocal}
}

// admit acts on the node's role in the slot.
func (n *Node) admit(w http.ResponseWriter, r *http.Request, next http.Handler, route Route) {
	where, problem := n.catchUp(r, route)
	switch {
	case problem != nil:
		n.refuse(w, problem)
		return
	case where.Place == replication.PlaceElsewhere:
		n.stats.redirected.Add(1)
		n.redirect(w, where, route.Slot)
		return
	}
	n.stats.served.Add(1)
	route.Epoch = where.Epoch
	through := n.passage(r, route)
	stamped := &stampedWriter{ResponseWriter: w, passage: through}
	through.pass(next, stamped, r)
	stamped.finish()
}

func (n *Node) redirect(w http.ResponseWriter, where replication.Where, slot api.Slot) {
	w.Header().Set(api.HeaderEpoch, formatEpoch(where.Epoch))
	problem := api.NewProblem(api.CodeNotOwner, "node %s does not hold slot %d", n.config.ID, slot)
	if where.Owner != "" {
		w.Header().Set(api.HeaderOwner, string(where.Owner))
		problem.Detail += "; " + string(where.Owner) + " does"
	}
	problem.WriteTo(w)
}

func (n *Node) refuse(w http.ResponseWriter, problem *api.Problem) {
	n.stats.refused.Add(1)
	problem.WriteTo(w)
}

func draining() *api.Problem {
	return api.NewProblem(api.CodeDraining, "the node is leaving")
}

func noRing() *api.Problem {
	return api.NewProblem(api.CodeNoRing, "the node has not seen a ring yet")
}

func formatEpoch(epoch api.Epoch) string { return strconv.FormatUint(uint64(epoch), 10) }

// stampedWriter puts the epoch on the final answer, whatever the handler did to the headers before.
// A 421 of the handler's own goes without, or a proxy would take it for the guard's; WriteError's is the guard's.
type stampedWriter struct {
	http.ResponseWriter
	passage *passage
	final   bool // the status line is written
}

// WriteHeader stamps the final status line; informational ones pass as they are.
func (w *stampedWriter) WriteHeader(status int) {
	if !w.final && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.stamp(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write stamps an answer whose handler named no status.
func (w *stampedWriter) Write(body []byte) (int, error) {
	w.finish()
	return w.ResponseWriter.Write(body)
}

// FlushError is how http.ResponseController flushes.
func (w *stampedWriter) FlushError() error {
	w.finish()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *stampedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// finish stamps the answer if the handler has not begun it: net/http will send 200.
func (w *stampedWriter) finish() {
	if !w.final {
		w.stamp(http.StatusOK)
	}
}

func (w *stampedWriter) stamp(status int) {
	w.final = true
	w.Header().Del(api.HeaderEpoch)
	away := w.passage.away.Load()
	switch {
	case status != http.StatusMisdirectedRequest:
		w.Header().Set(api.HeaderEpoch, formatEpoch(w.passage.route.Epoch))
	case away != nil:
		w.Header().Set(api.HeaderEpoch, formatEpoch(away.Epoch))
	}
}
