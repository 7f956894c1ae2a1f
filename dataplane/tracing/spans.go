package tracing

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/stead-io/stead/api"
)

// Request is one request through a proxy: a server span, and a client span for each time it was sent to a node.
// What is unknown is left empty. Text that a client or node sent is made by Text.
type Request struct {
	Parent, Own  Context // Parent is not valid where the trace began here
	Began, Ended time.Time

	ID        string // X-Request-Id
	Method    string // empty: it was no request
	Minor     int    // of HTTP/1.Minor
	HTTP2     bool   // it came in HTTP/2
	Secure    bool   // it came over TLS
	Host      string
	Path      string // without keys
	UserAgent string
	Client    netip.Addr
	Peer      netip.AddrPort

	Status  int    // 0: it got no answer
	Problem string // code of an answer of the proxy's own
	Cut     bool   // its answer was cut short
	At      Place  // where it went last
	Tries   []Try
}

// Place is where a request goes.
type Place struct {
	Node  api.NodeID
	Keyed bool // it has a key, and so slot and epoch
	Slot  api.Slot
	Epoch api.Epoch
}

// Try is one time that a request is sent to a node.
type Try struct {
	Span         SpanID
	Began, Ended time.Time
	At           Place
	Address      string // host:port of the node
	Secure       bool   // TLS
	Status       int    // 0: no answer came
	Fault        string // why none came, or not all of it
	Repeats      int    // how often it was sent once more, for a connection that had been closed
}

// Tunnel is a connection that changed protocols, after the request that asked for it.
type Tunnel struct {
	Request, Own Context
	Began, Ended time.Time
	ID           string
	Protocol     string
	At           Place
	Ending       string // why it ended, if not by either side
}

// textMax is how many octets of a text are told.
const textMax = 1 << 10

// Text is what is told of octets that came from outside: in UTF-8, or the whole batch would be refused.
func Text(octets []byte) string {
	return strings.ToValidUTF8(string(octets[:min(len(octets), textMax)]), "\uFFFD")
}

// Attributes of Stead's own.
const (
	keyNode      = attribute.Key("stead.node")
	keySlot      = attribute.Key("stead.slot")
	keyEpoch     = attribute.Key("stead.epoch")
	keyProblem   = attribute.Key("stead.problem")
	keyRequestID = attribute.Key("stead.request_id")
	keyRepeats   = attribute.Key("stead.repeats")
	keyProtocol  = attribute.Key("stead.tunnel.protocol")
	keyEnding    = attribute.Key("stead.tunnel.ending")
)

// FaultCut is an answer that was cut short.
const FaultCut = "cut"

// attributes gathers what is known.
type attributes []attribute.KeyValue

func (a *attributes) add(pair attribute.KeyValue) { *a = append(*a, pair) }

func (a *attributes) text(key attribute.Key, value string) {
	if value != "" {
		a.add(key.String(value))
	}
}

func (a *attributes) number(key attribute.Key, value int) {
	if value != 0 {
		a.add(key.Int(value))
	}
}

func (a *attributes) place(at Place) {
	a.text(keyNode, string(at.Node))
	if at.Keyed {
		a.add(keySlot.Int(int(at.Slot)))
		a.add(keyEpoch.Int64(int64(at.Epoch)))
	}
}

// server is the host:port that is spoken to; the port goes without saying in a name alone.
func (a *attributes) server(authority string, secure bool) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.Trim(authority, "[]"), "80"
		if secure {
			port = "443"
		}
	}
	a.text(semconv.ServerAddressKey, host)
	if number, err := strconv.ParseUint(port, 10, 16); err == nil && host != "" {
		a.number(semconv.ServerPortKey, int(number))
	}
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// methods are those that spans are named by; clients may make up others without end.
var methods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true,
	"CONNECT": true, "OPTIONS": true, "TRACE": true, "PATCH": true, "QUERY": true,
}

// method adds the method and names the span by it (Semantic conventions for HTTP spans, "Name").
func (a *attributes) method(method string) (name string) {
	if methods[method] {
		a.add(semconv.HTTPRequestMethodKey.String(method))
		return method
	}
	a.add(semconv.HTTPRequestMethodOther)
	a.text(semconv.HTTPRequestMethodOriginalKey, method)
	return "HTTP"
}

func (r *Request) spans() int { return 1 + len(r.Tries) }

func (r *Request) write(e *exporter) {
	all := make(attributes, 0, 20)
	name := all.method(r.Method)
	all.add(semconv.URLScheme(scheme(r.Secure)))
	all.text(semconv.URLPathKey, r.Path)
	switch {
	case r.HTTP2:
		all.add(semconv.NetworkProtocolVersion("2"))
	case r.Method != "":
		all.add(semconv.NetworkProtocolVersion("1." + strconv.Itoa(r.Minor)))
	}
	if r.Host != "" {
		all.server(r.Host, r.Secure)
	}
	if r.Client.IsValid() {
		all.add(semconv.ClientAddress(r.Client.String()))
	}
	if r.Peer.IsValid() {
		all.add(semconv.NetworkPeerAddress(r.Peer.Addr().String()))
		all.number(semconv.NetworkPeerPortKey, int(r.Peer.Port()))
	}
	all.text(semconv.UserAgentOriginalKey, r.UserAgent)
	all.number(semconv.HTTPResponseStatusCodeKey, r.Status)
	all.text(keyProblem, r.Problem)
	all.text(keyRequestID, r.ID)
	all.place(r.At)
	e.span(spanContext(r.Parent, true), r.Own, name, r.Began, r.Ended, r.fault(),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(all...))
	for i := range r.Tries {
		r.writeTry(e, i)
	}
}

// fault is what made the request fail: what a client did wrong did not.
func (r *Request) fault() string {
	switch {
	case r.Status >= 500:
		return cmp.Or(r.Problem, strconv.Itoa(r.Status))
	case r.Cut:
		return FaultCut
	default:
		return ""
	}
}

func (r *Request) writeTry(e *exporter, i int) {
	t := &r.Tries[i]
	all := make(attributes, 0, 16)
	name := all.method(r.Method)
	all.add(semconv.URLFull(scheme(t.Secure) + "://" + t.Address + r.Path))
	all.server(t.Address, t.Secure)
	all.number(semconv.HTTPResponseStatusCodeKey, t.Status)
	all.number(semconv.HTTPRequestResendCountKey, i)
	all.number(keyRepeats, t.Repeats)
	all.text(keyRequestID, r.ID)
	all.place(t.At)
	fault := t.Fault
	if fault == "" && t.Status >= 400 {
		fault = strconv.Itoa(t.Status)
	}
	e.span(spanContext(r.Own, false), r.Own.At(t.Span), name, t.Began, t.Ended, fault,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(all...))
}

func (j *Tunnel) spans() int { return 1 }

func (j *Tunnel) write(e *exporter) {
	all := make(attributes, 0, 8)
	all.text(keyProtocol, j.Protocol)
	all.text(keyEnding, j.Ending)
	all.text(keyRequestID, j.ID)
	all.place(j.At)
	e.span(spanContext(j.Request, false), j.Own, "tunnel", j.Began, j.Ended, "", trace.WithAttributes(all...))
}
