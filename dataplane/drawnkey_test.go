package dataplane

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
)

// drawnOf is the key that an answer gives the client, "" if it gives none.
func drawnOf(t *testing.T, response *http.Response) string {
	t.Helper()
	lines := response.Header.Values("Set-Cookie")
	if len(lines) == 0 {
		return ""
	}
	key, found := strings.CutSuffix(strings.TrimPrefix(lines[0], api.KeyCookie+"="), "; Path=/; HttpOnly; SameSite=Lax")
	if len(lines) != 1 || !found || len(key) != 22 || response.Header.Get("Cache-Control") != `no-cache="set-cookie"` {
		t.Errorf("the answer says %q, %q", lines, response.Header.Get("Cache-Control"))
	}
	return key
}

// TestSticky: a client without a key gets one, and is with its node from then on, through any proxy.
func TestSticky(t *testing.T) {
	nodes := []*rawNode{startNode(t, answer(named("n1"))), startNode(t, answer(named("n2")))}
	view := ruled(t, api.NoKeySticky, []string{"header:X-Shard-Key"}, up("n1", nodes[0].address()), up("n2", nodes[1].address()))
	first, _ := start(t, view)
	second, _ := start(t, view)
	seen := map[string]bool{}
	for range 8 {
		response, name := ask(t, first, "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
		drawn := drawnOf(t, response)
		if drawn == "" || seen[drawn] {
			t.Fatalf("the key is %q, of %v", drawn, seen)
		}
		seen[drawn] = true
		node := nodes[view.Slot([]byte(drawn))%2]
		if got := node.next(t); !strings.Contains(got.raw, stamps(view, drawn)) {
			t.Errorf("the node got %q", got.raw)
		}
		for _, proxy := range []*Proxy{first, second} {
			response, again := ask(t, proxy, "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b; "+api.KeyCookie+"="+drawn+"\r\n\r\n")
			if again != name || len(response.Header.Values("Set-Cookie")) != 0 || response.Header.Get("Cache-Control") != "" {
				t.Errorf("%s and then %s, %v", name, again, response.Header)
			}
			if got := node.next(t); !strings.Contains(got.raw, stamps(view, drawn)) || !strings.Contains(got.raw, "Cookie: a=b; "+api.KeyCookie+"="+drawn+"\r\n") {
				t.Errorf("the node got %q", got.raw)
			}
		}
	}
	// Who has a key is given none, nor does one that is refused.
	response, _ := ask(t, first, "GET / HTTP/1.1\r\nHost: h\r\nX-Shard-Key: a\r\nCookie: "+api.KeyCookie+"=x\r\n\r\n")
	if response.StatusCode != 200 || drawnOf(t, response) != "" {
		t.Errorf("got %v", response)
	}
	refused(t, first, "GET / HTTP/1.1\r\nHost: h\r\nCookie: "+api.KeyCookie+"=x; "+api.KeyCookie+"=y\r\n\r\n", 400, "bad_key")
	refused(t, first, "GET / HTTP/1.1\r\nHost: h\r\nCookie: "+api.KeyCookie+"=\r\n\r\n", 400, "bad_key")
}

// TestStickyPerRequest: clients on one connection are not one client, and the service's own cookies
// and caching pass.
func TestStickyPerRequest(t *testing.T) {
	const own = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nCache-Control: max-age=9\r\nContent-Length: 2\r\n\r\nok"
	node := startNode(t, answer(own))
	view := ruled(t, api.NoKeySticky, []string{"header:X-Shard-Key"}, up("n1", node.address()))
	proxy, _ := start(t, view)
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, strings.Repeat("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 2)+"GET / HTTP/1.1\r\nHost: h\r\nX-Shard-Key: k\r\n\r\n")
	reader := bufio.NewReader(conn)
	var seen []string
	for range 3 {
		response, _ := readAnswer(t, reader)
		seen = append(seen, strings.Join(response.Header.Values("Set-Cookie"), " | ")+" | "+strings.Join(response.Header.Values("Cache-Control"), ", "))
	}
	if seen[0] == seen[1] || !strings.HasPrefix(seen[0], "a=b | "+api.KeyCookie+"=") || !strings.HasSuffix(seen[1], ` | max-age=9, no-cache="set-cookie"`) || seen[2] != "a=b | max-age=9" {
		t.Errorf("got %q", seen)
	}
}

// TestStickyFollows: a key that was drawn stays when its slot has moved, and a node that is down is not one to
// stick to.
func TestStickyFollows(t *testing.T) {
	second := startNode(t, answer(named("n2")))
	first := startNode(t, answer(notOwner(9, "n2")))
	proxy, fake := start(t, ruled(t, api.NoKeySticky, jsonRules, up("n1", first.address())))
	moved := ruled(t, api.NoKeySticky, jsonRules, up("n1", first.address()), up("n2", second.address()))
	moved.Table.Version.Number = 2
	for slot := range moved.Table.Owners {
		moved.Table.Owners[slot] = 0
	}
	fake.publish(moved)
	until(t, "the newer ring", func() bool { return len(proxy.routes.Table().Up) == 2 })
	response, body := ask(t, proxy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	drawn := drawnOf(t, response)
	if body != "n2" || drawn == "" {
		t.Fatalf("got %q with key %q", body, drawn)
	}
	for _, node := range []*rawNode{first, second} {
		if got := node.next(t); !strings.Contains(got.raw, "Stead-Key: "+api.EncodeKey([]byte(drawn))+"\r\n") {
			t.Errorf("of key %s a node got %q", drawn, got.raw)
		}
	}
	down, _ := start(t, ruled(t, api.NoKeySticky, jsonRules, ring.Node{ID: "n1", Address: "127.0.0.1:1", Status: ring.StatusDown}))
	response, _ = ask(t, down, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if response.StatusCode != 503 || drawnOf(t, response) != "" {
		t.Errorf("got %v", response)
	}
}

// TestStickyOverTLS: a key given in secret is sent back in secret only.
func TestStickyOverTLS(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	issue := authority.New(t).Security
	view := ruled(t, api.NoKeySticky, jsonRules, up("n1", node.address()))
	proxy, _ := start(t, view, func(c *Config) { c.SecurityClients = issue(transport.RoleProxy, "p1") })
	client := issue(transport.RoleOperator, "ann")
	conn, err := client.Dial(t.Context(), proxy.Addr(), transport.Identity{Role: transport.RoleProxy, Name: "p1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, _ := readAnswer(t, bufio.NewReader(conn))
	if cookie := response.Header.Get("Set-Cookie"); !strings.HasSuffix(cookie, "; HttpOnly; SameSite=Lax; Secure") {
		t.Errorf("got %v", response.Header)
	}
}

// TestDrawnKeysCostNothing: to draw a key and to tell it allocates nothing.
func TestDrawnKeysCostNothing(t *testing.T) {
	x := &exchange{proxy: &Proxy{}, out: make([]byte, 0, 512)}
	n := testing.AllocsPerRun(100, func() {
		x.drawn.present, x.out = false, x.out[:0]
		_ = x.drawn.octets()
		x.appendDrawnKey()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
