package dataplane

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aParent = "b7ad6b7169203331"
	traced  = "traceparent: 00-" + aTrace + "-" + aParent + "-01\r\n"
)

var aTraceParent = regexp.MustCompile(`traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\r\n`)

// TestSpans: a request that goes to one node and on to another is a server span with two client spans below it, in
// the trace that it came with; each node is told of its own.
func TestSpans(t *testing.T) {
	t.Parallel()
	second := startNode(t, answer(okAnswer))
	first := startNode(t, answer("HTTP/1.1 421 Misdirected Request\r\nStead-Epoch: 9\r\nStead-Owner: n2\r\nContent-Length: 0\r\n\r\n"))
	view := ringOf(t, 1, 5, up("n1", first.address()), up("n2", second.address()))
	collector := startCollector(t)
	proxy, _ := start(t, view, defaults, loopback, collector.traced(0))
	key := keyAt(view, "n1")
	slot, _, _, _ := view.Locate([]byte(key))
	response, _ := ask(t, proxy, "GET /kv/"+key+"?tenant="+key+"&secret=x HTTP/1.1\r\nHost: shop.example:8443\r\n"+
		"User-Agent: caf\xe9/1\r\nX-Forwarded-For: 192.0.2.7\r\nX-Request-Id: mine\r\n"+traced+"tracestate: a=1\r\ntracestate: b=2\r\n\r\n")
	if response.StatusCode != 200 || response.Header.Get("X-Request-Id") != "mine" || response.Header.Get("Traceparent") != "" {
		t.Errorf("answered %v", response)
	}
	raws := []string{first.next(t).raw, second.next(t).raw}
	spans := collector.all(t, proxy)
	place := func(node string, epoch int) string {
		return fmt.Sprintf("stead.epoch=%d stead.node=%s stead.request_id=mine stead.slot=%d", epoch, node, slot)
	}
	const url = "url.path=/kv/{key} url.scheme=http user_agent.original=caf\uFFFD/1"
	wants := []string{
		"server GET ok client.address=192.0.2.7 http.request.method=GET http.response.status_code=200 network.peer.address=127.0.0.1 " +
			"network.protocol.version=1.1 server.address=shop.example " + place("n2", 9) + " " + url,
		"client GET failed error.type=421 http.request.method=GET http.response.status_code=421 server.address=127.0.0.1 " +
			place("n1", 5) + " url.full=http://" + first.address() + "/kv/{key}",
		"client GET ok http.request.method=GET http.request.resend_count=1 http.response.status_code=200 server.address=127.0.0.1 " +
			place("n2", 9) + " url.full=http://" + second.address() + "/kv/{key}",
	}
	if len(spans) != len(wants) {
		t.Fatalf("the collector got %d spans: %v", len(spans), spans)
	}
	parent := aParent
	for i, span := range spans {
		if got := telling(span); got != wants[i] {
			t.Errorf("span %d is\n%s, want\n%s", i, got, wants[i])
		}
		if hex.EncodeToString(span.TraceId) != aTrace || hex.EncodeToString(span.ParentSpanId) != parent {
			t.Errorf("span %d is in trace %x below %x", i, span.TraceId, span.ParentSpanId)
		}
		if span.StartTimeUnixNano < spans[0].StartTimeUnixNano || span.EndTimeUnixNano > spans[0].EndTimeUnixNano || span.StartTimeUnixNano > span.EndTimeUnixNano {
			t.Errorf("span %d is from %d to %d", i, span.StartTimeUnixNano, span.EndTimeUnixNano)
		}
		if i > 0 && (!strings.Contains(raws[i-1], traceparent(span)) || strings.Count(raws[i-1], "traceparent") != 1) {
			t.Errorf("the node of span %x was told %q", span.SpanId, raws[i-1])
		}
		parent = hex.EncodeToString(spans[0].SpanId)
	}
	for _, raw := range raws {
		if !strings.Contains(raw, "tracestate: a=1\r\ntracestate: b=2\r\n") || !strings.Contains(raw, "X-Request-Id: mine\r\n") {
			t.Errorf("a node was told %q", raw)
		}
	}
	if want := "service.instance.id=p1 service.name=stead-proxy"; !strings.HasPrefix(strings.Join(collector.resource, " "), want) {
		t.Errorf("the spans are of %q", collector.resource)
	}
}

// TestSampling: who came with a trace is taken at its word; of the others the share is recorded, and nodes are told
// that the rest is not.
func TestSampling(t *testing.T) {
	t.Parallel()
	node := startNode(t, answer(okAnswer))
	f := func(name string, sample float64, fields, told string, spans int) {
		t.Run(name, func(t *testing.T) {
			collector := startCollector(t)
			proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), collector.traced(sample))
			served(t, proxy, "GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"+fields+"\r\n", "ok")
			raw := node.next(t).raw
			got := collector.all(t, proxy)
			if matched, _ := regexp.MatchString("(?s)^GET /kv/a HTTP/1.1\r\nHost: h\r\n"+told+"Stead-Key", raw); !matched || len(got) != spans {
				t.Errorf("the node was told %q, want %q; there are %d spans", raw, told, len(got))
			}
			if spans > 0 && !strings.Contains(raw, traceparent(got[1])) {
				t.Errorf("the node was told %q, the spans are %v", raw, got)
			}
		})
	}
	const unsampled = "traceparent: 00-" + aTrace + "-" + aParent + "-00\r\n"
	const anew = "traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-"
	f("sampled", 0, traced, "traceparent: 00-"+aTrace+"-[0-9a-f]{16}-01\r\n", 2)
	f("not sampled", 1, unsampled+"tracestate: a=1\r\n", unsampled+"tracestate: a=1\r\n", 0)
	f("of a later version", 0, "traceparent: cc-"+aTrace+"-"+aParent+"-01-more\r\n", "traceparent: 00-"+aTrace+"-[0-9a-f]{16}-01\r\n", 2)
	f("none, all", 1, "", anew+"01\r\n", 2)
	f("none, no share", 0, "", anew+"00\r\n", 0)
	f("no trace, all", 1, "traceparent: 00-"+strings.ToUpper(aTrace)+"-"+aParent+"-01\r\ntracestate: a=1\r\n", anew+"01\r\n", 2)
	f("two traces", 0, traced+traced+"tracestate: a=1\r\n", anew+"00\r\n", 0)
}

// TestSpansOfRefusals: what the proxy answers itself has a span, with what is known of it, and one for each time that
// a node was tried.
func TestSpansOfRefusals(t *testing.T) {
	t.Parallel()
	broken := startNode(t, func(net.Conn, int, received) bool { return false })
	cut := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
		return false
	})
	view := ringOf(t, 1, 5, up("n1", broken.address()), up("n2", cut.address()), up("n3", "127.0.0.1:1"))
	f := func(octets string, wants ...string) {
		t.Helper()
		collector := startCollector(t)
		proxy, _ := start(t, view, collector.traced(1))
		talk(t, proxy, octets)
		spans := collector.all(t, proxy)
		if len(spans) < len(wants) {
			t.Fatalf("%q has the spans %v", octets, spans)
		}
		for i, want := range wants {
			got := telling(spans[i])
			for _, part := range strings.Fields(want) {
				if !slices.Contains(strings.Fields(got), part) {
					t.Errorf("%q: span %d is %s, without %s", octets, i, got, part)
				}
			}
		}
	}
	const host = "HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
	f("GET / "+host+"\r\n", "server GET ok http.response.status_code=400 stead.problem=no_key url.path=/ server.address=h")
	f("BREW\x01/ "+host+"\r\n", "server HTTP ok http.request.method=_OTHER http.response.status_code=400 stead.problem=bad_request")
	f("BREW / "+host+"X-Shard-Key: a\r\nX-Shard-Key: b\r\n\r\n", "server HTTP ok http.request.method=_OTHER http.request.method_original=BREW stead.problem=bad_key")
	f("GET /kv/"+keyAt(view, "n1")+" "+host+"\r\n", "server GET failed error.type=owner_failed http.response.status_code=502 stead.node=n1 stead.epoch=5",
		"client GET failed error.type=not_answered stead.node=n1")
	f("GET /kv/"+keyAt(view, "n2")+" "+host+"\r\n", "server GET failed error.type=cut http.response.status_code=200", "client GET failed error.type=cut http.response.status_code=200")
	f("PUT /kv/"+keyAt(view, "n3")+" "+host+"Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx", "server PUT failed error.type=owner_down http.response.status_code=503",
		"client PUT failed error.type=not_connected stead.node=n3", "client PUT failed error.type=not_connected http.request.resend_count=1")
	f("PUT / "+host+"Content-Length: 1\r\nExpect: 100-continue\r\n\r\n", "server PUT ok http.response.status_code=400 stead.problem=no_key")
}

// TestSpansHideKeys: a host that may be a key is not told.
func TestSpansHideKeys(t *testing.T) {
	t.Parallel()
	node := startNode(t, answer(okAnswer))
	view := ruled(t, api.NoKeyReject, []string{"host:{key}.example.com"}, up("n1", node.address()))
	collector := startCollector(t)
	proxy, _ := start(t, view, collector.traced(1))
	served(t, proxy, "GET /x HTTP/1.1\r\nHost: acme.example.com\r\n\r\n", "ok")
	spans := collector.all(t, proxy)
	if len(spans) != 2 || strings.Contains(fmt.Sprint(spans), "acme") {
		t.Errorf("the spans are %v", spans)
	}
}

// TestSpansOfTunnels: a request that changes protocols has its spans when it has its answer, and the tunnel one when
// it ends.
func TestSpansOfTunnels(t *testing.T) {
	t.Parallel()
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, conn)
		return false
	})
	collector := startCollector(t)
	proxy, _ := start(t, ringOf(t, 1, 5, up("n1", node.address())), collector.traced(1))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
	until(t, "a tunnel", func() bool { return proxy.tunnels.count() == 1 })
	_ = conn.(*net.TCPConn).CloseWrite()
	if got, _ := listen(t, conn); !strings.HasSuffix(got, "\r\n\r\nhello") {
		t.Errorf("echoed %q", got)
	}
	spans := collector.all(t, proxy)
	if len(spans) != 3 || !strings.Contains(telling(spans[0]), "http.response.status_code=101") || !strings.Contains(telling(spans[1]), "client GET ok") {
		t.Fatalf("the spans are %v", spans)
	}
	tunnel := spans[2]
	if got := telling(tunnel); !strings.HasPrefix(got, "internal tunnel ok stead.epoch=5 stead.node=n1 stead.slot=") || !strings.HasSuffix(got, " stead.tunnel.protocol=echo") {
		t.Errorf("the tunnel is %s", got)
	}
	if string(tunnel.ParentSpanId) != string(spans[0].SpanId) || string(tunnel.TraceId) != string(spans[0].TraceId) || tunnel.EndTimeUnixNano <= spans[0].EndTimeUnixNano {
		t.Errorf("the tunnel is %v, its request %v", tunnel, spans[0])
	}
	if raw := node.next(t).raw; !aTraceParent.MatchString(raw) {
		t.Errorf("the node was told %q", raw)
	}
}

// BenchmarkSpans is one request and its answer, of which a share has spans. The collector looks at nothing.
func BenchmarkSpans(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer collector.Close()
	for _, sample := range []float64{0, 0.01, 1} {
		b.Run(fmt.Sprint(sample), func(b *testing.B) {
			lean := leanCases()[0]
			plain := lean.edit
			lean.edit = func(c *Config) {
				plain(c)
				c.Tracing.Collector, c.Tracing.Sample = collector.URL, sample
			}
			path := lean.open(b)
			b.ReportAllocs()
			for b.Loop() {
				path.ask()
			}
		})
	}
}
