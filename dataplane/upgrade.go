package dataplane

import (
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/tunnel"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// admitUpgrade notes which protocols the client asks to change to. Offers that are not passed on are as if they had
// not been made, those of an HTTP/1.0 client too (RFC 9110, section 7.8). A body is not: who takes it, and in which
// protocol, is not agreed on everywhere.
func (x *exchange) admitUpgrade() *api.Problem {
	if len(x.head.Upgrade) == 0 || x.head.Minor == 0 {
		return nil
	}
	var values []string
	for i := range x.head.Fields {
		if field := &x.head.Fields[i]; field.Kind == wire.Upgrade {
			values = append(values, string(field.Value))
		}
	}
	x.offers = tunnel.Offers(values...)
	if len(x.offers) > 0 && x.head.Length != 0 {
		return api.NewProblem(api.CodeUpgrade, "a request with a body cannot change to %q", api.Clip(strings.Join(x.offers, ", ")))
	}
	return nil
}

// join passes on that the node changed protocols, and leaves the two connections to be carried.
func (x *exchange) join(answer forward.Answer) {
	head := answer.Head()
	x.out = forward.AppendAnswer(x.out[:0], head, x.proxy.trails.droppedBack)
	x.out = x.appendTrailBack(x.out, head.Minor)
	x.appendOwn()
	node, nodeEarly, protocol := forward.Switched(answer)
	x.out = append(append(append(x.out, "Connection: Upgrade\r\nUpgrade: "...), protocol...), "\r\n\r\n"...)
	x.record.head = len(x.out)
	x.conn.CloseAfter()
	if x.flush() != nil {
		_ = node.Close()
		return
	}
	client, clientEarly := x.conn.Take()
	x.joined = &joined{
		Tunnel: tunnel.New(tunnel.Config{
			Client: tunnel.Side{Conn: client, Early: clientEarly}, Node: tunnel.Side{Conn: node, Early: nodeEarly},
			Protocol: protocol, Idle: x.proxy.config.TunnelIdle,
		}),
		node: x.node.ID, keyed: x.stamp.Key != nil, slot: x.stamp.Slot, epoch: x.stamp.Epoch,
		span: x.tunnelSpan(protocol),
	}
	x.proxy.metrics.answered(101)
}
