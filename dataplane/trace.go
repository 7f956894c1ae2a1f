package dataplane

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/tunnel"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/tracing"
	"github.com/stead-io/stead/dataplane/wire"
)

const headerTraceParent = "traceparent: "

// traceFields say which trace a request is part of. One means nothing without the other.
var traceFields = wire.KindsOf(wire.TraceParent, wire.TraceState)

// trace is a request's place in a trace, and what is noted for its spans.
type trace struct {
	parent  tracing.Context // the place that the request names; not valid if it names none
	own     tracing.Context // that of the request itself; not valid where spans are off
	tries   []tracing.Try   // of a request that is recorded
	repeats int             // as of the last of them
}

// beginTrace finds out what the request is part of.
func (x *exchange) beginTrace() {
	x.trace = trace{tries: x.trace.tries[:0]}
	if x.readable() {
		x.trace.parent = parentOf(&x.head.Head)
	}
	if tracer := x.proxy.tracer; tracer != nil {
		x.trace.own = tracer.Begin(x.trace.parent)
	}
}

// parentOf is the place that a request names, if it names one, once.
func parentOf(head *wire.Head) tracing.Context {
	var value []byte
	for i := range head.Fields {
		if field := &head.Fields[i]; field.Kind == wire.TraceParent && !head.HopByHop(field) {
			if value != nil {
				return tracing.Context{}
			}
			value = field.Value
		}
	}
	parent, _ := tracing.ParseContext(value)
	return parent
}

// appendTrace tells the node which trace the request is part of, if it should know better than by what came, and says
// which fields that stands for: a trace that nobody could follow ends here (W3C Trace Context, section 4.3).
func (x *exchange) appendTrace(dst []byte) ([]byte, wire.Kinds) {
	t := &x.trace
	at, dropped := t.own, traceFields
	switch {
	case t.own.Sampled():
		at = t.own.At(t.tries[len(t.tries)-1].Span)
		if t.parent.Valid() {
			dropped = wire.KindsOf(wire.TraceParent)
		}
	case t.parent.Valid():
		return dst, 0
	case !t.own.Valid():
		return dst, dropped
	}
	return append(at.Append(append(dst, headerTraceParent...)), "\r\n"...), dropped
}

// beginTry notes that the request is sent to its node.
func (x *exchange) beginTry() {
	if !x.trace.own.Sampled() {
		return
	}
	x.trace.tries = append(x.trace.tries, tracing.Try{
		Span: tracing.DrawSpan(), Began: time.Now(), At: x.place(), Address: x.node.Address, Secure: x.proxy.config.Security.TLS != nil,
	})
}

// faults are why a node's answer did not come, by how far its request had.
var faults = [...]string{
	forward.NotConnected: "not_connected", forward.NotAnswered: "not_answered", forward.Broken: "broken", forward.TimedOut: "timeout",
	forward.ClientFailed: "client_failed", forward.ClientGone: "client_gone",
}

// endTry notes what came of it.
func (x *exchange) endTry(answer forward.Answer, err error) {
	if !x.trace.own.Sampled() {
		return
	}
	try := &x.trace.tries[len(x.trace.tries)-1]
	try.Ended = time.Now()
	try.Repeats, x.trace.repeats = x.request.Repeats-x.trace.repeats, x.request.Repeats
	if err != nil {
		try.Fault = x.faultOf(err)
	} else {
		try.Status = answer.Head().Status
	}
}

func (x *exchange) faultOf(err error) string {
	stage := stageOf(err)
	if stage == forward.ClientFailed && x.brokeOff() {
		stage = forward.ClientGone
	}
	return faults[stage]
}

func (x *exchange) place() tracing.Place {
	return tracing.Place{Node: x.node.ID, Keyed: x.stamp.Key != nil, Slot: x.stamp.Slot, Epoch: x.stamp.Epoch}
}

// emit has spans made of a request that is over.
func (x *exchange) emit(took time.Duration) {
	r := &tracing.Request{
		Parent: x.trace.parent, Own: x.trace.own, Began: x.started, Ended: x.started.Add(took), ID: string(x.trail.id),
		Secure: x.trail.peer.Secure, Client: x.trail.peer.Addr, Peer: x.peer(),
		Status: x.record.status, Problem: x.record.problem, Cut: x.record.cut, At: x.place(), Tries: slices.Clone(x.trace.tries),
	}
	if last := len(r.Tries) - 1; last >= 0 && r.Problem == "" { // its answer was relayed, to the end or not
		r.Tries[last].Ended = r.Ended
		if r.Cut {
			r.Tries[last].Fault = tracing.FaultCut
		}
	}
	if x.readable() {
		r.Client, r.Method, r.Minor = x.client(), tracing.Text(x.head.Method), x.head.Minor
		r.HTTP2 = x.conn.HTTP2()
		r.UserAgent = tracing.Text(x.field("User-Agent"))
		r.Host, r.Path = x.shownURL()
	}
	x.proxy.tracer.Request(r)
}

// shownURL is what may be shown of where a request is sent to: not its key, nor the query, which is the client's
// business, and nothing while no rules say what a key is.
func (x *exchange) shownURL() (host, path string) {
	if x.table == nil && x.proxy.routes.Table() == nil {
		return "", ""
	}
	x.out = x.appendTarget(x.out[:0], false)
	if masked, _, _ := bytes.Cut(x.out, []byte{'?'}); len(masked) > 0 && (masked[0] == '/' || masked[0] == '*') {
		path = tracing.Text(masked)
	}
	table := x.table
	if table == nil {
		table = x.proxy.routes.Table()
	}
	if !slices.ContainsFunc(table.Rules, func(rule api.KeyRule) bool { return rule.Source == api.KeyFromHost }) {
		host = tracing.Text(x.head.Host)
	}
	return host, path
}

// peer is the other end of the connection.
func (x *exchange) peer() netip.AddrPort {
	tcp, ok := x.conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(x.trail.peer.Addr, uint16(tcp.Port))
}

// tunnelSpan begins the span of a tunnel; nil if its request is not recorded.
func (x *exchange) tunnelSpan(protocol string) *tracing.Tunnel {
	if !x.trace.own.Sampled() {
		return nil
	}
	return &tracing.Tunnel{
		Request: x.trace.own, Own: x.trace.own.At(tracing.DrawSpan()), Began: time.Now(), ID: string(x.trail.id),
		Protocol: tracing.Text([]byte(protocol)), At: x.place(),
	}
}

// over ends the span of a tunnel.
func (j *joined) over(ending tunnel.Ending) {
	if j.span != nil {
		j.span.Ended, j.span.Ending = time.Now(), ending.Reason
	}
}

// spanGrace is how long the last spans may take, also when time for all else is up.
const spanGrace = time.Second

func (p *Proxy) closeTracer(ctx context.Context) {
	if p.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spanGrace)
	defer cancel()
	p.tracer.Close(ctx)
}
