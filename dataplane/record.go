package dataplane

import (
	"context"
	"errors"
	"time"

	"github.com/stead-io/stead/dataplane/accesslog"
	"github.com/stead-io/stead/dataplane/inbound"
	"github.com/stead-io/stead/dataplane/shardkey"
	"github.com/stead-io/stead/dataplane/wire"
)

// record is what is noted of a request on its way, for whoever counts or logs it.
type record struct {
	status  int    // of its answer; 0: it got none
	problem string // code of an answer of the proxy's own
	head    int    // octets of that answer's head
	sent    int64  // octets sent to the client
	retries int    // times it was sent again
	moved   int    // answers 421 among them
	cut     bool   // the answer was cut short
}

// account is the end of a request, and says what became of it.
func (x *exchange) account() {
	took := time.Since(x.started)
	x.proxy.metrics.seconds.Observe(took.Seconds())
	if x.at != nil && x.record.problem == "" {
		x.at.observe(took)
	}
	if x.trace.own.Sampled() {
		x.emit(took)
	}
	if log := x.proxy.access; log != nil && log.Wants(x.record.status) {
		x.log(log, took)
	}
}

// log writes a line of the access log; the octets that went to the client have left room for it.
func (x *exchange) log(to *accesslog.Log, took time.Duration) {
	entry := accesslog.Entry{
		Time: x.started, Duration: took, Client: x.trail.peer.Addr,
		Status: x.record.status, Problem: x.record.problem, Cut: x.record.cut,
		In: x.conn.Received(), Out: x.record.sent, BodyOut: max(0, x.record.sent-int64(x.record.head)),
		Node: string(x.node.ID), Keyed: x.stamp.Key != nil, Slot: uint16(x.stamp.Slot), RequestID: x.trail.id,
		Retries: x.record.retries + x.request.Repeats, Moved: x.record.moved,
	}
	x.out = x.out[:0]
	if x.readable() {
		entry.Client = x.client()
		entry.Method, entry.Minor, entry.HTTP2 = x.head.Method, x.head.Minor, x.conn.HTTP2()
		entry.Referer, entry.UserAgent = x.field("Referer"), x.field("User-Agent")
		x.out = x.appendTarget(x.out, to.Keys())
		entry.Target = x.out
	}
	begin := len(x.out)
	x.out = to.Append(x.out, &entry)
	to.Add(x.out[begin:])
}

// readable reports whether there is a head to look at.
func (x *exchange) readable() bool {
	fault := x.conn.Fault()
	return fault == nil || errors.Is(fault, inbound.ErrBodyTooLarge) || x.table != nil
}

// appendTarget writes the request's target, or what may be shown of it: without a ring nobody knows what
// of it is a key.
func (x *exchange) appendTarget(dst []byte, keys bool) []byte {
	table := x.table
	if table == nil {
		table = x.proxy.routes.Table()
	}
	switch {
	case keys:
		return append(dst, x.head.Target...)
	case table == nil:
		return append(dst, '-')
	default:
		return shardkey.AppendMasked(dst, x.head.Target, table.Rules)
	}
}

// field finds the value of a field, nil if there is none.
func (x *exchange) field(name string) []byte {
	for i := range x.head.Fields {
		if field := &x.head.Fields[i]; field.Kind == wire.Other && wire.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return nil
}

// ReopenLogs goes on in files that are opened anew under their names, for whoever moved the old ones away.
func (p *Proxy) ReopenLogs() error {
	if p.access == nil {
		return nil
	}
	return p.access.Reopen()
}

// logGrace is how long the last lines may take, also when time for all else is up.
const logGrace = time.Second

func (p *Proxy) closeLog(ctx context.Context) error {
	if p.access == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logGrace)
	defer cancel()
	return p.access.Close(ctx)
}
