package dataplane

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/shardkey"
)

// ruled is the view of a ring with other key rules, its slots held by turns.
func ruled(t testing.TB, noKey api.NoKey, rules []string, nodes ...ring.Node) *ring.View {
	t.Helper()
	return viewOf(t, 1, func(table *ring.Table) {
		table.Nodes = nodes
		for slot := range table.Epochs {
			table.Epochs[slot], table.Owners[slot] = 1, ring.NodeIndex(slot%len(nodes))
		}
	}, func(settings *api.Settings) { settings.Keys, settings.NoKey = rules, noKey })
}

// TestKeyRules: each kind of rule, by the octets that the node gets: those the client sent, and the
// key.
func TestKeyRules(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ruled(t, api.NoKeyReject, []string{"cookie:sid", "host:{key}.example.com", "json:/user/id"}, up("n1", node.address()))
	proxy, _ := start(t, view)
	f := func(line, fields, body, key string) {
		t.Helper()
		served(t, proxy, line+" HTTP/1.1\r\n"+fields+"\r\n"+body, "ok")
		if got := node.next(t); got.raw != line+" HTTP/1.1\r\n"+fields+stamps(view, key)+"\r\n"+body {
			t.Errorf("the node received %q", got.raw)
		}
	}
	f("GET /", "Host: h\r\nCookie: a=b; sid=Ac%6De; c=\"d\"\r\n", "", "Ac%6De")
	f("GET /", "Cookie: sid=x\r\nHost: acme.example.com\r\n", "", "x")
	f("GET /?a", "Host: Acme.Example.com:8080\r\nCookie: a=b\r\n", "", "acme")
	f("POST /", "Host: h\r\nContent-Type: application/json\r\nContent-Length: 22\r\n", `{"user":{"id":"acme"}}`, "acme")
	f("POST /", "Host: h\r\nContent-Type: application/json\r\nContent-Length: 19\r\n", `{"user":{"id":-42}}`, "-42")
	f("POST /", "Host: b.example.com\r\nContent-Type: application/json\r\nContent-Length: 9\r\n", `{"user":{`, "b")

	get := func(fields string) string { return "GET / HTTP/1.1\r\n" + fields + "\r\n" }
	refused(t, proxy, get("Host: h\r\n"), 400, "no_key")
	refused(t, proxy, get("Host: h\r\nCookie: sid=x; sid=x\r\n"), 400, "bad_key")
	refused(t, proxy, get("Host: h\r\nCookie: sid=x\r\nCookie: a=b\r\n"), 400, "bad_key")
	refused(t, proxy, get("Host: h\r\nCookie: sid=\"x\"\r\n"), 400, "bad_key")
	refused(t, proxy, get("Host: h\r\nCookie: sid=x\r\nConnection: cookie\r\n"), 400, "bad_key")
	refused(t, proxy, get("Host: acme.example.com.\r\n"), 400, "bad_key")
	refused(t, proxy, get("Host: ac!me.example.com\r\n"), 400, "bad_key")
	refused(t, proxy, get("Host: acme.example.com\r\nHost: b.example.com\r\n"), 400, "bad_request")
	refused(t, proxy, "GET http://b.example.com/ HTTP/1.1\r\nHost: acme.example.com\r\n\r\n", 400, "bad_request")
	node.none(t)
}

// post is a request with a body of JSON.
func post(framing, body string) string {
	return "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" + framing + "\r\n" + body
}

func announced(body string) string {
	return post(fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
}

func chunked(pieces ...string) string {
	var body strings.Builder
	for _, piece := range pieces {
		fmt.Fprintf(&body, "%x\r\n%s\r\n", len(piece), piece)
	}
	return post("Transfer-Encoding: chunked\r\n", body.String()+"0\r\n\r\n")
}

// padded is a document of a length, its key behind the padding.
func padded(length int) string {
	frame := len(`{"pad":"","user":{"id":"acme"}}`)
	return `{"pad":"` + strings.Repeat("x", length-frame) + `","user":{"id":"acme"}}`
}

var jsonRules = []string{"json:/user/id"}

// TestJSONKeyRefused: a body that gives no key, or more than one, goes to nobody.
func TestJSONKeyRefused(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ruled(t, api.NoKeyReject, jsonRules, up("n1", node.address())))
	refused(t, proxy, "GET / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\r\n", 400, "no_key")
	refused(t, proxy, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n\r\n"+`{"user":{"id":"acme"}}`, 400, "no_key")
	refused(t, proxy, announced(`{"user":{"name":"acme"}}`), 400, "no_key")
	refused(t, proxy, announced(`{"user":{"id":"a","id":"b"}}`), 400, "bad_key")
	refused(t, proxy, announced(`{"user":{"id":"a"},"user":{"id":"a"}}`), 400, "bad_key")
	refused(t, proxy, announced(`{"user":{"id":1.5}}`), 400, "bad_key")
	refused(t, proxy, announced(`{"user":{"id":"a"}`), 400, "bad_key")
	refused(t, proxy, announced(`{"user":{"id":"\u0000"}}`), 400, "bad_key")
	refused(t, proxy, post("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"), 400, "bad_key")
	refused(t, proxy, post("Content-Length: 2\r\nContent-Type: text/plain\r\n", "{}"), 400, "bad_key")
	refused(t, proxy, chunked(), 400, "no_key")
	refused(t, proxy, chunked(`{"user":{"id`, `":[]}}`), 400, "bad_key")

	// Too long: by its announcement before it is sent, else as soon as it is.
	refused(t, proxy, announced(padded(shardkey.BodyMax+1)), 413, "too_large")
	refused(t, proxy, post(fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", shardkey.BodyMax+1), ""), 413, "too_large")
	long := padded(shardkey.BodyMax + 1)
	refused(t, proxy, chunked(long[:shardkey.BodyMax], long[shardkey.BodyMax:]), 413, "too_large")
	node.none(t)

	// A refusal leaves the connection at the next request, wherever the body was read to.
	valid := announced(`{"user":{"id":"acme"}}`)
	answers, _ := talk(t, proxy, announced(`{"user":{}}`)+chunked(`{"user":{"id":null}}`)+valid)
	if strings.Count(answers, "HTTP/1.1 400 ") != 2 || !strings.HasSuffix(answers, okAnswer) {
		t.Errorf("got %q", answers)
	}
	if request := node.next(t); request.body != `{"user":{"id":"acme"}}` {
		t.Errorf("the node got %q", request.body)
	}
}

// TestJSONKeyStandsStill: a client that stops within the body that its key is in holds nobody up.
func TestJSONKeyStandsStill(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ruled(t, api.NoKeyReject, jsonRules, up("n1", node.address()))
	proxy, _ := start(t, view, func(c *Config) { c.StreamTimeout = time.Second / 10 })
	refused(t, proxy, post("Content-Length: 30\r\n", `{"user"`), 408, "too_slow")
	refused(t, proxy, post("Content-Length: 200000\r\n", padded(100_000)), 408, "too_slow")
	refused(t, proxy, post("Transfer-Encoding: chunked\r\n", "7\r\n{\"user\"\r\n"), 408, "too_slow")
	node.none(t)
}

// TestJSONKeyForwards: what was read for the key goes out as it came, in whatever pieces it came.
func TestJSONKeyForwards(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ruled(t, api.NoKeyReject, jsonRules, up("n1", node.address()))
	proxy, _ := start(t, view)
	for _, length := range []int{31, 40, 64 << 10, 64<<10 + 1, shardkey.BodyMax - 1, shardkey.BodyMax} {
		body := padded(length)
		for name, octets := range map[string]string{
			"announced": announced(body), "one chunk": chunked(body), "chunks": chunked(body[:1], body[1:20], body[20:]),
		} {
			served(t, proxy, octets, "ok")
			if got := node.next(t); got.body != body || !strings.Contains(got.raw, stamps(view, "acme")) {
				t.Errorf("%s of %d: the node got %d octets, %.200q", name, length, len(got.body), got.raw)
			}
		}
	}
	// 100 (Continue) comes before the key is known, and the body behind it.
	conn := dial(t, proxy)
	body := `{"user":{"id":"acme"}}`
	_, _ = io.WriteString(conn, post(fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", len(body)), ""))
	const want = "HTTP/1.1 100 Continue\r\n\r\n"
	interim := make([]byte, len(want))
	if _, err := io.ReadFull(conn, interim); err != nil || string(interim) != want {
		t.Fatalf("got %q, %v", interim, err)
	}
	_, _ = io.WriteString(conn, body)
	if got, _ := listen(t, conn); got != okAnswer {
		t.Errorf("got %q", got)
	}
	if got := node.next(t); got.body != body || !strings.Contains(got.raw, stamps(view, "acme")) {
		t.Errorf("the node got %q", got.raw)
	}
}

// TestJSONKeyReplays: a body with the key in it goes on whole to the node that holds the slot.
func TestJSONKeyReplays(t *testing.T) {
	second := startNode(t, answer(named("n2")))
	first := startNode(t, answer(notOwner(9, "n2")))
	view := ruled(t, api.NoKeyReject, jsonRules, up("n1", first.address()), up("n1b", first.address()), up("n2", second.address()))
	proxy, _ := start(t, view)
	body := padded(200 << 10)
	key := ""
	for i := 0; key == ""; i++ { // one that the ring gives to the first
		if candidate := fmt.Sprintf("%04d", i); view.Slot([]byte(candidate))%3 == 0 {
			key = candidate
		}
	}
	body = strings.Replace(body, "acme", key, 1)
	for name, octets := range map[string]string{"announced": announced(body), "chunks": chunked(body[:9999], body[9999:])} {
		served(t, proxy, octets, "n2")
		for _, node := range []*rawNode{first, second} {
			if got := node.next(t); got.body != body || !strings.Contains(got.raw, "Stead-Key: "+key+"\r\n") {
				t.Errorf("%s: a node got %d octets, %.200q", name, len(got.body), got.raw)
			}
		}
	}
}

// TestRulesChangeOnTheWay: a request that waits for its slot, and would now have to be read by its body,
// is to be sent again.
func TestRulesChangeOnTheWay(t *testing.T) {
	node := startNode(t, answer(notOwner(1, "n1")))
	proxy, fake := start(t, ruled(t, api.NoKeyReject, []string{"header:X-Shard-Key"}, up("n1", node.address())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, post("X-Shard-Key: a\r\nContent-Length: 22\r\n", `{"user":{"id":"acme"}}`))
	node.next(t)
	next := ruled(t, api.NoKeyReject, jsonRules, up("n1", node.address()))
	next.Table.Version.Number = 2
	fake.publish(next)
	if got, _ := listen(t, conn); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, `"code":"slot_moving"`) || !strings.Contains(got, "key rules changed") {
		t.Errorf("got %q", got)
	}
}
