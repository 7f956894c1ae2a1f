package nodesvc

import (
	"context"
	"net/http"
	"strconv"

	"github.com/stead-io/stead/api"
)

// verdict is what a node does with a request for a slot.
type verdict uint8

const (
	serve    verdict = iota // the node is primary
	redirect                // it is not: nothing of the request is applied
	park                    // the request was routed by a newer ring than the node knows
)

// judge decides by the node's own view alone: an older stamp at the primary is served, a newer one
// waits for the view to catch up.
func judge(primary bool, epoch, stamp api.Epoch) verdict {
	switch {
	case stamp > epoch:
		return park
	case primary:
		return serve
	default:
		return redirect
	}
}

// Guard lets a request through to next only while this node is primary of its key's slot; KeyOf,
// SlotOf and RouteOf then tell next what was found. Any other request gets its answer here: 421
// names the node that holds the slot, and of such a request nothing was applied, not even its body
// read. Answers carry the epoch the node knows, but for a 421 that is next's own.
func (n *Node) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if problem := checkCaller(r); problem != nil {
			n.refuse(w, problem)
			return
		}
		if !n.gate.enter() {
			n.refuse(w, draining())
			return
		}
		defer n.gate.leave()
		now := n.ring.current.Load()
		if now.view == nil {
			n.refuse(w, noRing())
			return
		}
		route, problem := readRoute(r.Header, now.view)
		switch {
		case problem != nil:
			n.refuse(w, problem)
		case route.Key == nil:
			n.stats.served.Add(1)
			next.ServeHTTP(w, r)
		default:
			n.admit(w, r, next, n.catchUp(r.Context(), now, route), route)
		}
	})
}

// catchUp parks a request that knows more than the node, until the node knows as much, the wait is
// over, or too many wait already; what then counts is the newest standing.
func (n *Node) catchUp(ctx context.Context, now *standing, route Route) *standing {
	known := func(s *standing) bool {
		primary, epoch := s.primaryOf(route.Slot)
		return judge(primary, epoch, route.Epoch) != park
	}
	if known(now) {
		return now
	}
	defer n.parked.Add(-1)
	if n.parked.Add(1) > int64(n.config.ParkedMax) {
		n.stats.unparked.Add(1)
		return n.ring.current.Load()
	}
	ctx, cancel := context.WithTimeout(ctx, n.config.ParkWait)
	defer cancel()
	return n.ring.until(ctx, known)
}

// admit acts on the node's role in the slot.
func (n *Node) admit(w http.ResponseWriter, r *http.Request, next http.Handler, now *standing, route Route) {
	primary, epoch := now.primaryOf(route.Slot)
	if !primary {
		n.stats.redirected.Add(1)
		n.redirect(w, now, route.Slot, epoch)
		return
	}
	n.stats.served.Add(1)
	route.Epoch = epoch
	stamped := &stampedWriter{ResponseWriter: w, epoch: epoch}
	next.ServeHTTP(stamped, r.WithContext(context.WithValue(r.Context(), routeKey{}, route)))
	stamped.finish()
}

func (n *Node) redirect(w http.ResponseWriter, now *standing, slot api.Slot, epoch api.Epoch) {
	w.Header().Set(api.HeaderEpoch, formatEpoch(epoch))
	problem := api.NewProblem(api.CodeNotOwner, "node %s does not hold slot %d", n.config.ID, slot)
	if owner := now.ownerOf(slot); owner != "" {
		w.Header().Set(api.HeaderOwner, string(owner))
		problem.Detail += "; " + string(owner) + " does"
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
// A 421 of the handler's own goes without, or a proxy would take it for the guard's.
type stampedWriter struct {
	http.ResponseWriter
	epoch api.Epoch
	final bool // the status line is written
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
	if status != http.StatusMisdirectedRequest {
		w.Header().Set(api.HeaderEpoch, formatEpoch(w.epoch))
	}
}
