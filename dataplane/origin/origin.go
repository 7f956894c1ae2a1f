// Package origin says where a request came from: Forwarded (RFC 7239) and X-Forwarded-For, -Proto and
// -Host, read as far as whoever sent them is believed, and written for the next one.
//
// It is pure. It owns which proxies are believed, the grammar of those fields, and who the client is by
// them; it does not own connections. Its invariant: what is written names only addresses that a believed
// proxy vouched for, in a form that every reader takes for the same list.
package origin

import (
	"net/netip"

	"github.com/stead-io/stead/dataplane/wire"
)

// Peer is the other end of the connection that a request came by.
type Peer struct {
	Addr netip.Addr // unmapped, without a zone
	// Trusted: it is a proxy that is believed.
	Trusted bool
	// Secure: the connection is in TLS.
	Secure bool
}

// scheme is what the peer spoke.
func (p Peer) scheme() string {
	if p.Secure {
		return "https"
	}
	return "http"
}

// Fields says which fields are written. Of trusted peers those that are not written pass as they are.
type Fields struct {
	X         bool // X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host
	Forwarded bool
}

var (
	ofX = wire.KindsOf(wire.ForwardedFor, wire.ForwardedProto, wire.ForwardedHost)
	all = ofX | wire.KindsOf(wire.Forwarded, wire.ForwardedOther, wire.ForwardedAlias)
)

// Dropped are the fields of a request that don't go on as they came: nobody's word is taken but a trusted
// peer's, and what is written anew stands once.
func (f Fields) Dropped(trusted bool) wire.Kinds {
	if !trusted {
		return all
	}
	dropped := wire.KindsOf(wire.ForwardedAlias)
	if f.X {
		dropped |= ofX
	}
	if f.Forwarded {
		dropped |= wire.KindsOf(wire.Forwarded)
	}
	return dropped
}

// Append writes the fields for the next one to read, as whole lines.
func (f Fields) Append(dst []byte, request *wire.Request, peer Peer) []byte {
	if f.X {
		dst = appendFor(dst, &request.Head, peer)
		dst = appendKept(dst, "X-Forwarded-Proto: ", kept(&request.Head, wire.ForwardedProto, peer), peer.scheme())
		dst = appendKept(dst, "X-Forwarded-Host: ", kept(&request.Head, wire.ForwardedHost, peer), string(request.Host))
	}
	if f.Forwarded {
		dst = appendForwarded(dst, request, peer)
	}
	return dst
}

// Client is who the request came from: the peer, or whom the proxies name that are believed, as far as
// each is named by another. X-Forwarded-For is what is read, Forwarded where that alone is written.
func (f Fields) Client(head *wire.Head, peer Peer, trusted Networks) netip.Addr {
	if !peer.Trusted {
		return peer.Addr
	}
	walk := walk{trusted: trusted}
	if f.X || !f.Forwarded {
		walk.xForwardedFor(head)
	} else {
		walk.forwarded(head)
	}
	if walk.client.IsValid() {
		return walk.client
	}
	return peer.Addr
}

// walk goes through a chain of addresses, farthest first, and finds the last that is not a trusted
// proxy's: what stands before it is only what that one said.
type walk struct {
	trusted Networks
	client  netip.Addr
}

// add takes the next address. One that is not known ends what is believed of those before it.
func (w *walk) add(addr netip.Addr) {
	if !addr.IsValid() || !w.client.IsValid() || !w.trusted.Contain(addr) {
		w.client = addr
	}
}

// fields calls for each field of a kind that is not the connection's own.
func fields(head *wire.Head, kind wire.Kind, each func(value []byte)) {
	for i := range head.Fields {
		if field := &head.Fields[i]; field.Kind == kind && !head.HopByHop(field) {
			each(field.Value)
		}
	}
}
