package nodesvc

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// What a parked request counts, in bytes.
const (
	parkedCostMin = 4 << 10  // a request and its goroutine
	parkedBodyMax = 64 << 10 // of its body, as much as the sockets' buffers hold
)

// parking counts the requests that wait for a slot, and what memory they take.
type parking struct {
	requests, bytes atomic.Int64
	requestsMax     int64
	bytesMax        int64
}

// enter takes a request in, unless the place is full; leave lets it out.
func (p *parking) enter(cost int64) (leave func(), ok bool) {
	leave = func() {
		p.requests.Add(-1)
		p.bytes.Add(-cost)
	}
	requests, bytes := p.requests.Add(1), p.bytes.Add(cost)
	if requests > p.requestsMax || bytes > p.bytesMax {
		leave()
		return nil, false
	}
	return leave, true
}

// parkedCost is what a request counts.
func parkedCost(r *http.Request) int64 {
	body := r.ContentLength
	if body < 0 || body > parkedBodyMax {
		body = parkedBodyMax
	}
	return parkedCostMin + body
}

func parkingFull() *api.Problem {
	return api.NewProblem(api.CodeSlotMoving, "the slot is changing hands, and too many requests wait for it already")
}

// catchUp parks a request whose slot is coming, or that knows more than the node, until the node serves the
// slot or knows who does, or the wait is over. What then counts is the newest the node knows; one without a
// Service answers by it too when too many wait already.
func (n *Node) catchUp(r *http.Request, route Route) (replication.Where, *api.Problem) {
	where := n.where(route.Slot)
	if judge(where, route.Epoch) != park {
		return where, nil
	}
	leave, ok := n.parking.enter(parkedCost(r))
	if !ok {
		n.stats.unparked.Add(1)
		if n.config.Service != nil {
			return where, parkingFull()
		}
		return n.where(route.Slot), nil
	}
	defer leave()
	where = n.await(r.Context(), route)
	if where.Place == replication.PlaceComing {
		return where, api.NewProblem(api.CodeSlotMoving, "slot %d has been changing hands for %v", route.Slot, n.config.ParkWait)
	}
	return where, nil
}

// awaitKnowledge parks a request that came before the node knew the ring, or its slots: after a start they are
// known in a moment.
func (n *Node) awaitKnowledge(r *http.Request) {
	if n.knows() {
		return
	}
	leave, ok := n.parking.enter(parkedCost(r))
	if !ok {
		n.stats.unparked.Add(1)
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), n.config.ParkWait)
	defer cancel()
	n.ring.until(ctx, func(s *standing) bool { return s.view != nil })
	if n.config.Service == nil {
		return
	}
	select {
	case <-n.keeping:
	case <-n.failed:
	case <-ctx.Done():
	}
}

func (n *Node) knows() bool {
	return n.View() != nil && (n.config.Service == nil || n.keeper.Load() != nil)
}

// await waits until a request need not be parked, for ParkWait at most.
func (n *Node) await(ctx context.Context, route Route) replication.Where {
	ctx, cancel := context.WithTimeout(ctx, n.config.ParkWait)
	defer cancel()
	for {
		where := n.where(route.Slot)
		if judge(where, route.Epoch) != park {
			return where
		}
		select {
		case <-where.Moved:
		case <-ctx.Done():
			return n.where(route.Slot)
		}
	}
}

// where is how the node stands to a slot: the engine knows, or without one the ring.
func (n *Node) where(slot api.Slot) replication.Where {
	if keeper := n.keeper.Load(); keeper != nil {
		return keeper.engine.Where(slot)
	}
	return n.ring.current.Load().where(slot)
}
