package dataplane

import (
	"errors"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/inbound"
	"github.com/stead-io/stead/dataplane/routing"
	"github.com/stead-io/stead/dataplane/shardkey"
	"github.com/stead-io/stead/dataplane/wire"
)

// exchange is one request on its way: admitted, aimed at a node, delivered, its answer relayed. It
// is used again for other requests.
type exchange struct {
	proxy   *Proxy
	conn    *inbound.Conn
	head    *wire.Request
	started time.Time

	table   *routing.Table // what the request is routed by
	key     shardkey.Request
	unaimed bool // its key is in the body
	stamp   forward.Stamp
	node    ring.Node   // where it goes
	at      *nodeCounts // those of the node that it is at; nil before it is at one
	drawn   drawnKey    // of a client that came without a key
	trail   trail
	trace   trace
	record  record

	body     forward.Body
	request  forward.Request
	deadline time.Time // for an answer to begin
	out      []byte    // octets on their way to the client

	offers   []string // protocols the client asks to change to
	joined   *joined  // what the connection became, if the node changed protocols
	interims int      // interim answers passed on
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// bufferKeepMax is the capacity of buffers that are held on to between requests.
const bufferKeepMax = 96 << 10

func (p *Proxy) begin(conn *inbound.Conn) *exchange {
	x := exchanges.Get().(*exchange)
	x.proxy, x.conn, x.head, x.started = p, conn, conn.Head(), time.Now()
	x.beginTrail()
	x.beginTrace()
	return x
}

func (x *exchange) end() {
	x.depart()
	x.record = record{}
	x.proxy, x.conn, x.head, x.table = nil, nil, nil, nil
	x.key.Target, x.key.Headers, x.key.Body, x.stamp, x.node = nil, nil, nil, forward.Stamp{}, ring.Node{}
	x.unaimed, x.drawn.present = false, false
	x.body.Reset(nil, 0, 0)
	x.request, x.out = forward.Request{Head: keep(x.request.Head)}, keep(x.out)
	x.offers, x.joined = nil, nil
	exchanges.Put(x)
}

func keep(buffer []byte) []byte {
	if cap(buffer) > bufferKeepMax {
		return nil
	}
	return buffer[:0]
}

// Serve answers a request, and carries what the connection changes to.
func (p *Proxy) Serve(conn *inbound.Conn) {
	joined := p.answer(conn)
	if joined == nil {
		return
	}
	p.tunnels.carry(joined, p.routes.Routes)
	if joined.span != nil {
		p.tracer.Tunnel(joined.span)
	}
}

// answer answers a request. What it returns is left to do when the request is over; mostly nothing.
func (p *Proxy) answer(conn *inbound.Conn) *joined {
	p.metrics.inFlight.Add(1)
	defer p.metrics.inFlight.Add(-1)
	x := p.begin(conn)
	defer x.end()
	problem := x.admit()
	if problem == nil {
		problem = x.deliver()
	}
	if problem != nil {
		x.refuse(problem)
	}
	x.account()
	return x.joined
}

// Admit decides, before a client sends its body, whether the request would get anywhere.
func (p *Proxy) Admit(conn *inbound.Conn) bool {
	x := p.begin(conn)
	defer x.end()
	problem := x.admit()
	if problem != nil {
		x.refuse(problem)
		x.account()
	}
	return problem == nil
}

// Refuse answers what is no request.
func (p *Proxy) Refuse(conn *inbound.Conn) {
	x := p.begin(conn)
	defer x.end()
	x.refuse(x.unreadable(conn.Fault()))
	x.account()
}

// admit decides by the head alone.
func (x *exchange) admit() *api.Problem {
	if x.looped() {
		return api.NewProblem(api.CodeLoop, "the request has come through this proxy before, as its Via says")
	}
	if x.head.IsConnect() {
		x.conn.CloseAfter()
		return api.NewProblem(api.CodeConnect, "this proxy makes no tunnels")
	}
	if problem := x.admitUpgrade(); problem != nil {
		return problem
	}
	if x.head.Length > x.proxy.settings().BodyMax {
		return x.tooLarge()
	}
	x.key.Target, x.key.Headers, x.key.Length = x.head.Target, x.head, x.head.Length
	problem := x.aim()
	if problem == shardkey.ErrNeedsBody {
		x.unaimed = true
		return nil
	}
	return problem
}

// aim finds key, slot and node by the ring in force.
func (x *exchange) aim() *api.Problem {
	x.table = x.proxy.routes.Table()
	if x.table == nil {
		return noRing()
	}
	key, _, err := shardkey.Extract(x.table.Rules, &x.key)
	if err == shardkey.ErrNoKey {
		switch x.table.View.Settings.NoKey {
		case api.NoKeyAny:
			return x.aimAnywhere()
		case api.NoKeySticky:
			key, err = x.drawn.octets(), nil
		}
	}
	if err != nil {
		var problem *api.Problem
		errors.As(err, &problem)
		return problem
	}
	slot, epoch, node, held := x.table.View.Locate(key)
	if !held {
		return api.NewProblem(api.CodeSlotUnassigned, "slot %d has no node in ring %s", slot, x.table.View.Table.Version)
	}
	x.stamp, x.node = forward.Stamp{Key: key, Slot: slot, Epoch: epoch}, node
	if node.Status == ring.StatusDown {
		// From here on the ring knows better: it says when the node is back.
		x.proxy.circuits.connected(forward.Target{Node: node.ID, Address: node.Address})
		return x.ownerDown()
	}
	return nil
}

// aimAnywhere takes the next node that is up.
func (x *exchange) aimAnywhere() *api.Problem {
	up := x.table.Up
	if len(up) == 0 {
		return api.NewProblem(api.CodeOwnerDown, "no node is up in ring %s", x.table.View.Table.Version)
	}
	x.stamp = forward.Stamp{}
	x.node = up[x.proxy.advance.Add(1)%uint64(len(up))]
	return nil
}
