package nodesvc

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// passage is one request's way through the node: what the guard found out, and what became of it since.
type passage struct {
	node  *Node
	route Route // a nil Key: the request carries none
	local bool  // reads need not be confirmed

	appended atomic.Bool                       // a record of the request may be in a log
	away     atomic.Pointer[replication.Where] // where the slot went, for a 421 that is the guard's own
}

type passageKey struct{}

// pass hands the request to next, with its passage in the context.
func (p *passage) pass(next http.Handler, w http.ResponseWriter, r *http.Request) {
	next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), passageKey{}, p)))
}

// passageOf is the passage of a guarded request, nil outside of one.
func passageOf(ctx context.Context) *passage {
	p, _ := ctx.Value(passageKey{}).(*passage)
	return p
}

// redirection is where a request whose slot went away should go, nil if it should not: a record of it was
// appended, or the slot is not known to be elsewhere.
func (p *passage) redirection() *replication.Where {
	if p.route.Key == nil || p.appended.Load() {
		return nil
	}
	where := p.node.where(p.route.Slot)
	if where.Place != replication.PlaceElsewhere {
		return nil
	}
	return &where
}

// WriteError answers a guarded request with an error of Update or Read. When the slot went to another node and
// nothing of the request was appended, the answer sends the request there (421). When something was, its
// outcome is unknown as a whole (503, not to be repeated): so a handler that updates twice never has its first
// update repeated behind its back. Other problems are answered as they are; what is no *api.Problem is a fault
// of the service, logged and answered 500.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := passageOf(r.Context())
	switch code := api.CodeOf(err); {
	case code == "":
		if p != nil {
			p.node.logger.Error("request failed", "method", r.Method, "path", api.Clip(r.URL.Path), "error", err)
		}
		err = api.NewProblem(api.CodeInternal, "the service failed")
	case code != api.CodeNotOwner && code != api.CodeSlotMoving:
	case p != nil && p.appended.Load():
		err = api.NewProblem(api.CodeOutcomeUnknown, "the slot changed hands after a part of the request was carried out")
	case p != nil && p.misdirect(w):
		return
	default:
		err = api.NewProblem(api.CodeSlotMoving, "the slot is changing hands")
	}
	problemOf(err).WriteTo(w)
}

// misdirect answers 421 if the request should go elsewhere, and reports whether it did.
func (p *passage) misdirect(w http.ResponseWriter) bool {
	away := p.redirection()
	if away == nil {
		return false
	}
	p.node.stats.redirected.Add(1)
	p.away.Store(away)
	p.node.redirect(w, *away, p.route.Slot)
	return true
}
