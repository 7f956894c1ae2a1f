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

	table *routing.Table // what the request is routed by
	key   shardkey.Request
	stamp forward.Stamp
	node  ring.Node // where it goes

	body     forward.Body
	request  forward.Request
	deadline time.Time // for an answer to begin
	out      []byte    // octets on their way to the client
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// bufferKeepMax is the capacity of buffers that are held on to between requests.
const bufferKeepMax = 96 << 10

func (p *Proxy) begin(conn *inbound.Conn) *exchange {
	x := exchanges.Get().(*exchange)
	x.proxy, x.conn, x.head, x.started = p, conn, conn.Head(), time.Now()
	return x
}

func (x *exchange) end() {
	x.proxy, x.conn, x.head, x.table = nil, nil, nil, nil
	x.key.Target, x.key.Headers, x.stamp, x.node = nil, nil, forward.Stamp{}, ring.Node{}
	x.body.Reset(nil, 0, 0)
	x.request, x.out = forward.Request{Head: keep(x.request.Head)}, keep(x.out)
	exchanges.Put(x)
}

func keep(buffer []byte) []byte {
	if cap(buffer) > bufferKeepMax {
		return nil
	}
	return buffer[:0]
}

// Serve answers a request.
func (p *Proxy) Serve(conn *inbound.Conn) {
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
	p.metrics.seconds.Observe(time.Since(x.started).Seconds())
}

// Admit decides, before a client sends its body, whether the request would get anywhere.
func (p *Proxy) Admit(conn *inbound.Conn) bool {
	x := p.begin(conn)
	defer x.end()
	problem := x.admit()
	if problem != nil {
		x.refuse(problem)
	}
	return problem == nil
}

// Refuse answers what is no request.
func (p *Proxy) Refuse(conn *inbound.Conn, _ error) {
	x := p.begin(conn)
	defer x.end()
	x.refuse(x.unreadable(conn.Fault()))
}

// admit decides by the head alone.
func (x *exchange) admit() *api.Problem {
	if x.head.IsConnect() {
		x.conn.CloseAfter()
		return api.NewProblem(api.CodeConnect, "this proxy makes no tunnels")
	}
	// A client that merely offers h2c goes on in HTTP/1.1 when nobody takes it up.
	if len(x.head.Upgrade) > 0 && !wire.EqualFold(x.head.Upgrade, "h2c") {
		return api.NewProblem(api.CodeUpgrade, "the connection cannot be upgraded to %q", api.Clip(string(x.head.Upgrade)))
	}
	if x.head.Length > x.proxy.config.BodyMax {
		return x.tooLarge()
	}
	return x.aim()
}

// aim finds key, slot and node by the ring in force.
func (x *exchange) aim() *api.Problem {
	x.table = x.proxy.routes.Table()
	if x.table == nil {
		return noRing()
	}
	x.key.Target, x.key.Headers = x.head.Target, x.head
	key, _, err := shardkey.Extract(x.table.Rules, &x.key)
	if err == shardkey.ErrNoKey && x.table.View.Settings.NoKey == api.NoKeyAny {
		return x.aimAnywhere()
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
