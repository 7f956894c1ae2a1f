package dataplane

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/stead-io/stead/dataplane/origin"
)

// anID is what a drawn request id looks like.
var anID = regexp.MustCompile(`X-Request-Id: [0-9a-f]{32}\r`)

// defaults has a proxy of start say what proxies say.
func defaults(config *Config) { config.Trail = NewConfig().Trail }

// aMark is what a proxy calls itself towards nodes.
var aMark = regexp.MustCompile(`(Via: 1\.[01] stead)-[0-9a-f]{16}\r`)

// loopback trusts the tests' own client.
func loopback(config *Config) {
	config.Trail.TrustedProxies = origin.Networks{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
}

// told runs a request of these fields through a proxy and returns what the node is told of its way, and
// what the client hears, drawn ids as ID, and the proxy's mark as MARK.
func told(t *testing.T, fields string, edit ...func(*Config)) (node, client string) {
	t.Helper()
	upstream := startNode(t, answer("HTTP/1.1 200 OK\r\nX-Request-Id: the-nodes-own\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok"))
	view := ringOf(t, 1, 1, up("n1", upstream.address()))
	proxy, _ := start(t, view, append([]func(*Config){defaults}, edit...)...)
	got, _ := talk(t, proxy, "GET /kv/a HTTP/1.1\r\nHost: h:80\r\nConnection: close\r\n"+fields+"\r\n")
	raw := upstream.next(t).raw
	rest, isGet := strings.CutPrefix(raw, "GET /kv/a HTTP/1.1\r\nHost: h:80\r\n")
	rest, stamped := strings.CutSuffix(rest, stamps(view, "a")+"\r\n")
	head, answered := strings.CutPrefix(got, "HTTP/1.1 200 OK\r\n")
	head, whole := strings.CutSuffix(head, "Content-Length: 2\r\nConnection: close\r\n\r\nok")
	if id := anID.FindString(raw); id != anID.FindString(got) || !isGet || !stamped {
		t.Errorf("the node received\n%q", raw)
	}
	if !answered || !whole {
		t.Errorf("the client got\n%q", got)
	}
	return aMark.ReplaceAllString(anID.ReplaceAllString(rest, "X-Request-Id: ID\r"), "$1-MARK\r"), anID.ReplaceAllString(head, "X-Request-Id: ID\r")
}

func TestTrail(t *testing.T) {
	const own = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h:80\r\n"
	const id, via, viaBack = "X-Request-Id: ID\r\n", "Via: 1.1 stead-MARK\r\n", "Via: 1.1 stead\r\n"
	quietly := func(c *Config) { c.Trail = TrailConfig{TrustedProxies: c.Trail.TrustedProxies} }
	forwarded := func(c *Config) { c.Trail = TrailConfig{Forwarded: true, TrustedProxies: c.Trail.TrustedProxies} }
	f := func(name, fields, want string, edit ...func(*Config)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, back := told(t, fields, edit...)
			if got != want {
				t.Errorf("the node was told\n%q, want\n%q", got, want)
			}
			wantBack := "Via: 1.1 inner\r\n" + viaBack + id
			if strings.Contains(want, "X-Request-Id: a.b/c") {
				wantBack = "Via: 1.1 inner\r\n" + viaBack + "X-Request-Id: a.b/c\r\n"
			}
			if !strings.Contains(want, via) {
				wantBack = "X-Request-Id: the-nodes-own\r\nVia: 1.1 inner\r\n"
			}
			if back != wantBack {
				t.Errorf("the client was told\n%q, want\n%q", back, wantBack)
			}
		})
	}
	f("nothing", "", own+via+id)
	// What an untrusted peer says of its origin goes, in any spelling; a trace it began goes on untouched.
	const claims = "X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\nX-FORWARDED-PROTO: https\r\nX-Forwarded-Host: evil\r\n" +
		"X-Forwarded-Port: 443\r\nX-Forwarded-Whatever: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\nX_Real-IP: 6.6.6.6\r\n" +
		"X-Forwarded.For: 6.6.6.6\r\nX.Forwarded.For: 6.6.6.6\r\nX-Real-IP+: 6.6.6.6\r\n"
	const trace = "traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTraceState: a=1, b=2\r\n"
	f("untrusted", claims+"X-Request-Id: a.b/c\r\nx_request_id: 1\r\nVia: 1.0 old\r\n"+trace, "Via: 1.0 old\r\n"+trace+own+via+id)
	f("untrusted, switched off", claims+trace, trace, quietly)
	f("an id is no more than a field, switched off", "X-Request-Id: a.b/c\r\n", "X-Request-Id: a.b/c\r\n", quietly)
	// One that nobody could follow ends; what is said of it, too.
	const of, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-", "tracestate: a=1\r\n"
	for _, good := range []string{of + "00", of + "03", of + "ff", "cc" + of[2:] + "01", "cc" + of[2:] + "01-more"} {
		f("trace "+good, "traceparent: "+good+"\r\n"+state+"tracestate: b=2\r\n", "traceparent: "+good+"\r\n"+state+"tracestate: b=2\r\n", quietly)
	}
	for _, bad := range []string{"", "00", "ff" + of[2:] + "01", of + "01-more", of + "1", strings.ToUpper(of) + "01", "cc" + of[2:] + "01.more",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"} {
		f("no trace "+bad, "TraceParent: "+bad+"\r\n"+state, own+via+id)
	}
	f("two traces", "traceparent: "+of+"01\r\nTRACEPARENT: "+of+"01\r\n"+state, "", quietly)
	f("a trace's state alone", state, "", quietly)
	f("a trace of the connection's own", "Connection: traceparent\r\ntraceparent: "+of+"01\r\n"+state, "", quietly)
	// What a trusted one says is added to.
	f("trusted", claims+"X-Request-Id: a.b/c\r\n",
		"X-Forwarded-Port: 443\r\nX-Forwarded-Whatever: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\n"+
			"X-Forwarded-For: 6.6.6.6, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"+via+"X-Request-Id: a.b/c\r\n", loopback)
	f("trusted, silent", "", own+via+id, loopback)
	f("trusted, switched off", claims, "X-Forwarded-For: 6.6.6.6\r\nX-FORWARDED-PROTO: https\r\nX-Forwarded-Host: evil\r\n"+
		"X-Forwarded-Port: 443\r\nX-Forwarded-Whatever: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\n", loopback, quietly)
	f("lists", "X-Forwarded-For: 1.1.1.1,\t[2001:db8::1]:80\r\nX-Forwarded-For: unknown , 10.0.0.9:80\r\nX-Forwarded-Proto: https, http\r\n",
		"X-Forwarded-For: 1.1.1.1, [2001:db8::1]:80, unknown, 10.0.0.9:80, 127.0.0.1\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: h:80\r\n"+via+id, loopback)
	f("what can't be read", "X-Forwarded-For: 1.1.1.1, <script>, 2.2.2.2\r\nX-Forwarded-Proto: \"https\"\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\nX-Request-Id: two words\r\n",
		"X-Forwarded-For: 2.2.2.2, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h:80\r\n"+via+id, loopback)
	f("two ids", "X-Request-Id: a\r\nX-Request-Id: b\r\n", own+via+id, loopback)
	f("a long id", "X-Request-Id: "+strings.Repeat("a", idMax+1)+"\r\n", own+via+id, loopback)
	f("named by Connection", "Connection: x-forwarded-for, x-request-id, via\r\nX-Forwarded-For: 1.1.1.1\r\nX-Request-Id: a\r\nVia: 1.1 x\r\n", own+via+id, loopback)
	// RFC 7239.
	const element = "for=127.0.0.1;host=\"h:80\";proto=http\r\n"
	f("Forwarded", "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n", "Forwarded: "+element, forwarded)
	f("Forwarded, trusted", "Forwarded: for=1.1.1.1;by=_x;proto=https, FOR=\"[2001:db8::1]:80\"\r\nForwarded: for=unknown\r\n",
		"Forwarded: for=1.1.1.1;by=_x;proto=https, FOR=\"[2001:db8::1]:80\", for=unknown, "+element, loopback, forwarded)
	for _, bad := range []string{"for=1.1.1.1;", "for", "for=", ",", "for=1.1.1.1 for=2.2.2.2", `for="1.1.1.1`, `for="\1.1.1.1"`, "for=evil", "for=1.1.1.1;for=2.2.2.2", "a b=c"} {
		f("Forwarded "+bad, "Forwarded: for=3.3.3.3\r\nForwarded: "+bad+"\r\n", "Forwarded: "+element, loopback, forwarded)
	}
}

// TestTrailAcrossTries: a request keeps its id and its lines when it goes on to another node, and answers
// of the proxy's own carry an id too.
func TestTrailAcrossTries(t *testing.T) {
	second := startNode(t, answer(okAnswer))
	first := startNode(t, answer("HTTP/1.1 421 Misdirected Request\r\nStead-Epoch: 9\r\nStead-Owner: n2\r\nContent-Length: 0\r\n\r\n"))
	view := ringOf(t, 1, 5, up("n1", first.address()), up("n2", second.address()))
	proxy, _ := start(t, view, defaults)
	got, _ := talk(t, proxy, "GET /kv/"+keyAt(view, "n1")+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	lines := regexp.MustCompile(`(?s)X-Forwarded-For.*X-Request-Id: [0-9a-f]{32}\r\n`)
	there, then := lines.FindString(first.next(t).raw), lines.FindString(second.next(t).raw)
	if there == "" || there != then || !strings.Contains(got, anID.FindString(there)) {
		t.Errorf("told %q, then %q, and the client %q", there, then, got)
	}
	var ids []string
	for _, refused := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\nHost: h\r\n\r\n"} {
		got, _ := talk(t, proxy, refused)
		ids = append(ids, anID.FindString(got))
	}
	if ids[0] == "" || ids[1] == "" || ids[0] == ids[1] {
		t.Errorf("two refusals have the ids %q", ids)
	}
}

func TestTrailValidate(t *testing.T) {
	for _, via := range []string{"two words", "a\r\nb", "a,b"} {
		config := NewConfig()
		if config.Trail.Via = via; config.Validate() == nil {
			t.Errorf("%q may stand in Via", via)
		}
	}
}
