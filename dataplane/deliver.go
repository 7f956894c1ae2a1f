package dataplane

import (
	"errors"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/shardkey"
	"github.com/stead-io/stead/dataplane/wire"
)

// upstream is what carries a request to a node; *forward.Transport is one, *mux.Transport another.
type upstream interface {
	Send(to forward.Target, request *forward.Request) (forward.Answer, error)
}

func (p *Proxy) upstream() upstream {
	if p.muxed != nil {
		return p.muxed
	}
	return p.nodes
}

// deliver sends the request to its node, and on to where that has moved, until an answer is
// relayed; or returns why there is none.
func (x *exchange) deliver() *api.Problem {
	if problem := x.load(); problem != nil {
		return problem
	}
	nodes := x.proxy.upstream()
	search := search{exchange: x}
	for {
		to := forward.Target{Node: x.node.ID, Address: x.node.Address}
		if !search.may(to) {
			if problem := search.refused(); problem != nil {
				return problem
			}
			continue
		}
		x.compose()
		answer, err := x.send(nodes)
		search.tried(to, err)
		x.endTry(answer, err)
		if err != nil {
			x.at.answered(0)
		} else {
			x.at.answered(answer.Head().Status)
		}
		var problem *api.Problem
		switch {
		case err != nil:
			problem = search.failed(err)
		case !x.moved(answer.Head()):
			x.relay(answer)
			return nil
		default:
			problem = search.moved(answer)
		}
		if problem != nil {
			return problem
		}
		x.proxy.metrics.retries.Add(1)
		x.at.retries.Add(1)
		x.record.retries++
	}
}

// send goes to the node's pool, or on a connection of its own where it may change protocols.
func (x *exchange) send(nodes upstream) (forward.Answer, error) {
	to := forward.Target{Node: x.node.ID, Address: x.node.Address}
	switch {
	case x.overH2C():
		return x.proxy.h2c.Send(to, &x.request)
	case len(x.offers) > 0:
		return x.proxy.nodes.Upgrade(to, &x.request, x.offers)
	default:
		return nodes.Send(to, &x.request)
	}
}

// overH2C reports whether the node is spoken to in HTTP/2. There a connection does not change protocols: what the
// client offers is as if it had not.
func (x *exchange) overH2C() bool {
	_, h2c := api.CutH2C(x.node.Address)
	return h2c
}

// load prepares the body; a short one is read now.
func (x *exchange) load() *api.Problem {
	config := x.proxy.settings()
	x.request.Body = nil
	received := x.started
	if source := x.conn.Body(); source != nil {
		x.body.Reset(source, x.head.Length, config.BodyMax)
		x.body.KeepIn(x.proxy.bodies)
		x.request.Body = &x.body
		if problem := x.loadBody(); problem != nil {
			return problem
		}
		received = time.Now()
	}
	x.deadline = received.Add(config.Deadline)
	x.request.HeadOnly = x.head.IsHead()
	x.request.Safe = x.head.Safe()
	x.request.ExpectContinue = x.head.Minor == 1 && x.head.Length > forward.ReplayMax
	x.request.Deadline, x.request.Wait, x.request.Patience = x.deadline, config.Deadline, config.StreamTimeout
	x.request.Client, x.interims = x, 0
	return nil
}

// loadBody reads a short body, and whole the one that holds the key, by which it then aims.
func (x *exchange) loadBody() *api.Problem {
	if !x.unaimed {
		if err := x.body.Load(); err != nil {
			return x.clientFailed(err)
		}
		return nil
	}
	whole, err := x.body.LoadWhole(shardkey.BodyMax)
	if errors.Is(err, forward.ErrBodyTooLarge) && x.proxy.settings().BodyMax > shardkey.BodyMax {
		x.conn.CloseAfter()
		return shardkey.BodyTooLong()
	}
	if errors.Is(err, forward.ErrNoRoom) {
		x.conn.CloseAfter()
		return api.NewProblem(api.CodeOverloaded, "the key is in the body, and %d octets of other long bodies are held already", x.proxy.bodies.Taken())
	}
	if err != nil {
		return x.clientFailed(err)
	}
	x.key.Body, x.key.Length = whole, int64(len(whole))
	return x.aim()
}

func (x *exchange) compose() {
	x.visit()
	x.beginTry()
	x.stampTrail()
	if len(x.offers) > 0 && !x.overH2C() {
		x.request.Head = forward.AppendUpgrade(x.request.Head[:0], x.head, x.node.Address, x.stamp, x.offers)
		return
	}
	address := api.HostPort(x.node.Address)
	x.request.Head = forward.AppendRequest(x.request.Head[:0], x.head, address, x.stamp, x.request.ExpectContinue)
}

// moved reports the answer of a node that does not hold the slot. A 421 without an epoch is the
// service's own.
func (x *exchange) moved(head *wire.Answer) bool {
	return head.Status == 421 && x.stamp.Key != nil && steadField(&head.Head, api.HeaderEpoch) != nil
}
