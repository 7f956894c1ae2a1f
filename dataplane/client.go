package dataplane

import (
	"io"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// interimsMax is how many interim answers to one request are passed on; more than these are dropped.
const interimsMax = 32

// The exchange is the client of its request, as far as a node's connection is concerned.
var _ forward.Client = (*exchange)(nil)

// InterruptRead wakes up whoever reads the request's body.
func (x *exchange) InterruptRead() { x.conn.InterruptRead() }

// Hold names what is closed if the client leaves.
func (x *exchange) Hold(closer io.Closer) bool { return x.conn.Hold(closer) }

// Interim passes an interim answer on, to clients that know of them. Whether it arrived shows with the answer.
func (x *exchange) Interim(head *wire.Answer) {
	if x.head.Minor == 0 || x.interims == interimsMax {
		return
	}
	x.interims++
	x.out = append(forward.AppendAnswer(x.out[:0], head, x.proxy.trails.droppedBack), "\r\n"...)
	_ = x.conn.SendInterim(x.out)
}

// mayTrail keeps the fields that keys are found in from coming late: a node that takes trailers for headers
// would find another key.
func (p *Proxy) mayTrail(name []byte) bool {
	table := p.routes.Table()
	if table == nil {
		return true
	}
	for i := range table.Rules {
		if rule := &table.Rules[i]; rule.Source == api.KeyFromHeader && wire.SameName(name, rule.Name) {
			return false
		}
	}
	return true
}
