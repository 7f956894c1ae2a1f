package dataplane

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"

	"github.com/stead-io/stead/dataplane/origin"
	"github.com/stead-io/stead/dataplane/wire"
)

// ViaDefault is what a proxy calls itself in Via. All of a fleet are one to whoever is outside.
const ViaDefault = "stead"

// Lengths of request ids, in octets.
const (
	idLength = 32 // of one that is drawn: 128 bits
	idMax    = 128
)

const headerRequestID = "X-Request-Id: "

// TrailConfig says what nodes and clients are told of a request's way, and who is believed about the part
// of it that lies before the proxy.
type TrailConfig struct {
	// TrustedProxies are where the proxies are that stand before this one: what they say of a request's origin,
	// in X-Forwarded-*, Forwarded and X-Request-Id, goes on. What others say of it is dropped, whatever is set below.
	TrustedProxies origin.Networks
	// XForwarded has nodes told of the client in X-Forwarded-For, -Proto and -Host.
	XForwarded bool
	// Forwarded has nodes told of the client in Forwarded (RFC 7239).
	Forwarded bool
	// RequestID has requests without an id from a trusted proxy get one: nodes are told of it in X-Request-Id,
	// and so are clients. Without it the field is nothing special.
	RequestID bool
	// Via is what the proxy calls itself in Via (RFC 9110, section 7.6.3), on requests and answers. Empty: the
	// proxy doesn't mention itself.
	Via string
	// ProxyProtocol has connections from TrustedProxies begin with a PROXY header (version 1 or 2), which names the
	// client; those without one are closed. Others begin with none.
	ProxyProtocol bool
}

func newTrailConfig() TrailConfig {
	return TrailConfig{XForwarded: true, RequestID: true, Via: ViaDefault}
}

func (c TrailConfig) validate() error {
	if c.Via != "" && !wire.IsToken([]byte(c.Via)) {
		return fmt.Errorf("%q cannot stand in Via: it is no token of letters, digits and -._~", c.Via)
	}
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		return errors.New("the PROXY protocol is spoken by trusted proxies alone, and none is named")
	}
	return nil
}

// trails is what the trails of all requests have in common.
type trails struct {
	config      TrailConfig
	fields      origin.Fields
	dropped     [2]wire.Kinds // of requests: of anybody, and of trusted peers
	droppedBack wire.Kinds    // of answers
	own         []byte        // this process in Via, towards nodes: no other is called so; nil: it is not mentioned
	via         [3]string     // the line towards nodes, by the version of what came: HTTP/1.0, HTTP/1.1, HTTP/2
	viaBack     [3]string     // towards clients, to whom the whole fleet is one
}

func newTrails(config TrailConfig) trails {
	t := trails{config: config, fields: origin.Fields{X: config.XForwarded, Forwarded: config.Forwarded}}
	if config.RequestID {
		t.droppedBack = wire.KindsOf(wire.RequestID)
	}
	for i, trusted := range []bool{false, true} {
		t.dropped[i] = t.fields.Dropped(trusted) | t.droppedBack
	}
	if config.Via != "" {
		own := config.Via + "-" + drawMark()
		t.own = []byte(own)
		t.via, t.viaBack = viaLines(own), viaLines(config.Via)
	}
	return t
}

// drawMark tells a process apart from all others.
func drawMark() string {
	var drawn [8]byte
	binary.NativeEndian.PutUint64(drawn[:], rand.Uint64())
	return hex.EncodeToString(drawn[:])
}

// trail is what is known of the way of one request.
type trail struct {
	peer  origin.Peer
	id    []byte // nil: it has none
	room  [idMax]byte
	lines []byte // what the node is told
	same  int    // octets of them that are the same each time
}

func (x *exchange) beginTrail() {
	t, config := &x.trail, &x.proxy.trails.config
	t.lines, t.same = t.lines[:0], 0
	t.peer = origin.Peer{Addr: addressOf(x.conn.RemoteAddr())}
	t.peer.Trusted = config.TrustedProxies.Contain(t.peer.Addr)
	t.peer.Secure = x.conn.Secure()
	if t.id = nil; config.RequestID && !(t.peer.Trusted && x.conn.Fault() == nil && t.takeID(&x.head.Head)) {
		t.drawID()
	}
}

// addressOf is the bare address of an end of a connection.
func addressOf(end net.Addr) netip.Addr {
	if tcp, ok := end.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// takeID keeps the id that a trusted peer gave, if it is one that can stand anywhere.
func (t *trail) takeID(head *wire.Head) bool {
	var given []byte
	for i := range head.Fields {
		if field := &head.Fields[i]; field.Kind == wire.RequestID && !head.HopByHop(field) {
			if given != nil {
				return false
			}
			given = field.Value
		}
	}
	if !isID(given) {
		return false
	}
	t.id = t.room[:copy(t.room[:], given)]
	return true
}

func (t *trail) drawID() {
	var drawn [idLength / 2]byte
	binary.NativeEndian.PutUint64(drawn[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(drawn[8:], rand.Uint64())
	t.id = t.room[:hex.Encode(t.room[:], drawn[:])]
}

// isID reports an id that logs, URLs and shells take for one word.
func isID(text []byte) bool {
	for _, c := range text {
		letterOrDigit := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letterOrDigit && c != '-' && c != '_' && c != '.' && c != ':' && c != '/' && c != '+' && c != '=' && c != '@' && c != '~' {
			return false
		}
	}
	return 0 < len(text) && len(text) <= idMax
}

// client is who the request came from, as far as those in between are believed.
func (x *exchange) client() netip.Addr {
	return x.proxy.trails.fields.Client(&x.head.Head, x.trail.peer, x.proxy.trails.config.TrustedProxies)
}

// looped reports whether the request has gone through this proxy before, by its Via.
func (x *exchange) looped() bool {
	own := x.proxy.trails.own
	if own == nil {
		return false
	}
	for i := range x.head.Fields {
		if field := &x.head.Fields[i]; field.Kind == wire.Via && bytes.Contains(field.Value, own) {
			return true
		}
	}
	return false
}

// stampTrail says on the request where it came from and through whom, the same each time it is sent, and which trace
// it is part of.
func (x *exchange) stampTrail() {
	t, all := &x.trail, &x.proxy.trails
	if len(t.lines) == 0 {
		t.lines = all.fields.Append(t.lines, x.head, t.peer)
		t.lines = append(t.lines, all.via[x.version()]...)
		t.lines = x.appendID(t.lines)
		t.same = len(t.lines)
	}
	var traced wire.Kinds
	t.lines, traced = x.appendTrace(t.lines[:t.same])
	x.stamp.Trail, x.stamp.Dropped = t.lines, all.dropped[0]|traced
	if t.peer.Trusted {
		x.stamp.Dropped = all.dropped[1] | traced
	}
}

// viaHTTP2 is the place of HTTP/2 in lines of Via.
const viaHTTP2 = 2

// viaLines are the lines of Via in which a proxy is called so, by the version of what came.
func viaLines(name string) [3]string {
	return [3]string{"Via: 1.0 " + name + "\r\n", "Via: 1.1 " + name + "\r\n", "Via: 2 " + name + "\r\n"}
}

// version is that of the request, as trails.via has it.
func (x *exchange) version() int {
	if x.conn.HTTP2() {
		return viaHTTP2
	}
	return x.head.Minor
}

// versionBack is that of an answer.
func (x *exchange) versionBack(head *wire.Answer) int {
	if x.overH2C() {
		return viaHTTP2
	}
	return head.Minor
}

// appendTrailBack says on an answer what the client may know of its way; version is the one that the node spoke.
func (x *exchange) appendTrailBack(dst []byte, version int) []byte {
	return x.appendID(append(dst, x.proxy.trails.viaBack[version]...))
}

func (x *exchange) appendID(dst []byte) []byte {
	if x.trail.id == nil {
		return dst
	}
	return append(append(append(dst, headerRequestID...), x.trail.id...), "\r\n"...)
}
