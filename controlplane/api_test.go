package controlplane

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// lone is a cluster of one member.
type lone struct {
	t *testing.T
	*Member
}

func newLone(t *testing.T, edit func(*Config)) lone {
	t.Helper()
	config := NewConfig()
	config.Listen, config.RaftListen, config.DataDir = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	config.PlanDelay = 10 * time.Millisecond
	config.Logger = slog.New(slog.DiscardHandler)
	if edit != nil {
		edit(&config)
	}
	member, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := member.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	l := lone{t, member}
	l.await(func() bool { return member.IsLeader() })
	return l
}

func (l lone) await(reached func() bool) {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		changed := l.Changed()
		if reached() {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			l.t.Fatal("waited in vain")
		}
	}
}

// send makes a request with headers given as "Name: value".
func (l lone) send(method, path, body string, headers ...string) (*http.Response, []byte) {
	l.t.Helper()
	request, err := http.NewRequest(method, "http://"+l.APIAddr()+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return response, content
}

func TestBadInputChangesNothing(t *testing.T) {
	l := newLone(t, func(config *Config) {
		config.NodeCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/24")}
	})
	l.send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1"}`)
	l.await(func() bool { return len(l.State().SlotsHeld()) == 1 })
	before := l.State()
	f := func(method, path, body string, status int, code api.Code, field string) {
		t.Helper()
		response, content := l.send(method, path, body)
		var problem api.Problem
		if err := json.Unmarshal(content, &problem); err != nil {
			t.Fatalf("%s %s %s: %d %q", method, path, api.Clip(body), response.StatusCode, content)
		}
		if response.StatusCode != status || problem.Code != code || problem.Field != field || response.Header.Get("Content-Type") != api.ProblemType {
			t.Errorf("%s %s %s: got %d %s %q (%s)", method, path, api.Clip(body), response.StatusCode, problem.Code, problem.Field, problem.Detail)
		}
	}
	const nodes = "/v1/nodes"
	f("POST", nodes, `{`, 400, api.CodeInvalid, "")
	f("POST", nodes, `[]`, 400, api.CodeInvalid, "")
	f("POST", nodes, `{} {}`, 400, api.CodeInvalid, "")
	f("POST", nodes, ``, 400, api.CodeInvalid, "id")
	f("POST", nodes, `{"id":"n2"}`, 400, api.CodeAddressRefused, "address")
	f("POST", nodes, `{"id":7,"address":"127.0.0.1:1"}`, 400, api.CodeInvalid, "id")
	f("POST", nodes, `{"id":"n2","adress":"127.0.0.1:1"}`, 400, api.CodeInvalid, "adress")
	f("POST", nodes, `{"id":"n 2","address":"127.0.0.1:2"}`, 400, api.CodeInvalid, "id")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1"}`, 400, api.CodeAddressRefused, "address")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:0"}`, 400, api.CodeAddressRefused, "address")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:1/x"}`, 400, api.CodeAddressRefused, "address")
	f("POST", nodes, `{"id":"n2","address":"10.0.0.1:80"}`, 400, api.CodeAddressRefused, "address")
	f("POST", nodes, `{"id":"n2","address":"localhost:80"}`, 400, api.CodeAddressRefused, "address")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:1"}`, 409, api.CodeAddressInUse, "address")
	f("POST", nodes, `{"id":"n1","address":"127.0.0.1:9"}`, 409, api.CodeNodeIDInUse, "id")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","weight":-1}`, 400, api.CodeInvalid, "weight")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","weight":1000000000}`, 400, api.CodeInvalid, "weight")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","ttl":"1ms"}`, 400, api.CodeInvalid, "ttl")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","ttl":2}`, 400, api.CodeInvalid, "ttl")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","weight":0}`, 400, api.CodeInvalid, "weight")
	f("GET", "/v1/ring?after=%zz", ``, 400, api.CodeInvalid, "")
	f("GET", "/v1/ring/locate?key=a&key=b", ``, 400, api.CodeInvalid, "key")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","on_down":"shrug"}`, 400, api.CodeInvalid, "on_down")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","check":{"http":"/"}}`, 400, api.CodeInvalid, "check")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","store_id":"xyz"}`, 400, api.CodeInvalid, "store_id")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","service":"other"}`, 409, api.CodeServiceMismatch, "service")
	f("POST", nodes, `{"id":"n2","address":"127.0.0.1:2","slot_bits":9}`, 409, api.CodeRingGeometry, "slot_bits")
	f("POST", nodes, `{"id":"`+strings.Repeat("n", 2<<20)+`"}`, 413, api.CodeTooLarge, "")
	f("PUT", nodes, ``, 405, api.CodeMethodNotAllowed, "")
	f("GET", "/v1/nodes/n9", ``, 404, api.CodeNodeUnknown, "")
	f("PATCH", "/v1/nodes/n1", `{}`, 400, api.CodeInvalid, "")
	f("PATCH", "/v1/nodes/n1", `{"weight":0}`, 400, api.CodeInvalid, "weight")
	f("PATCH", "/v1/nodes/n1", `{"wieght":1}`, 400, api.CodeInvalid, "wieght")
	f("PATCH", "/v1/nodes/n9", `{"weight":1}`, 404, api.CodeNodeUnknown, "")
	f("DELETE", "/v1/nodes/n1", ``, 409, api.CodeLastCopy, "")
	f("DELETE", "/v1/nodes/n1?force=yes", ``, 400, api.CodeInvalid, "force")
	f("POST", "/v1/nodes/n1/drain", ``, 409, api.CodeLastNode, "")
	f("POST", "/v1/nodes/n1/drain", `{"x":1}`, 400, api.CodeInvalid, "x")
	f("POST", "/v1/nodes/n9/beat", ``, 404, api.CodeNodeUnknown, "")
	f("POST", "/v1/nodes/n1/beat", `{"session":"0-0"}`, 409, api.CodeUnknownSession, "session")
	f("GET", "/v1/ring?after=x", ``, 400, api.CodeInvalid, "after")
	f("GET", "/v1/ring?after=1&wait=9h", ``, 400, api.CodeInvalid, "wait")
	f("GET", "/v1/ring/versions?limit=0", ``, 400, api.CodeInvalid, "limit")
	f("GET", "/v1/ring/versions/999", ``, 404, api.CodeVersionUnknown, "")
	f("GET", "/v1/ring/versions/0-1", ``, 410, api.CodeVersionGone, "")
	f("GET", "/v1/ring/changes/999", ``, 404, api.CodeChangeUnknown, "")
	f("GET", "/v1/ring/diff", ``, 400, api.CodeInvalid, "from")
	f("GET", "/v1/ring/diff?from=c0", ``, 404, api.CodeChangeUnknown, "")
	f("GET", "/v1/ring/locate", ``, 400, api.CodeInvalid, "key")
	f("GET", "/v1/ring/locate?key_hex=zz", ``, 400, api.CodeInvalid, "key_hex")
	f("GET", "/v1/ring/locate?key="+strings.Repeat("k", 1025), ``, 400, api.CodeBadKey, "key")
	f("GET", "/v1/ring/locate?key="+strings.Repeat("k", 64<<10), ``, 400, api.CodeBadKey, "key")
	f("GET", "/v1/nodes?consistency=eventual", ``, 400, api.CodeInvalid, "consistency")
	f("PATCH", "/v1/cluster", `{"slot_bits":9}`, 409, api.CodeSettingFixed, "slot_bits")
	f("PATCH", "/v1/cluster", `{"service":"x"}`, 409, api.CodeSettingFixed, "service")
	f("PATCH", "/v1/cluster", `{"replicas":2}`, 501, api.CodeUnsupported, "replicas")
	f("PATCH", "/v1/cluster", `{"replicas":9}`, 400, api.CodeInvalid, "replicas")
	f("PATCH", "/v1/cluster", `{"keys":["query:t"]}`, 409, api.CodeSettingGuarded, "keys")
	f("PATCH", "/v1/cluster", `{"keys":["nonsense"]}`, 400, api.CodeInvalid, "keys[0]")
	f("PATCH", "/v1/cluster", `{"keys":[]}`, 400, api.CodeInvalid, "keys")
	f("PATCH", "/v1/cluster", `{"keys":["cookie:a b"]}`, 400, api.CodeInvalid, "keys[0]")
	f("PATCH", "/v1/cluster", `{"keys":["cookie:sid"]}`, 409, api.CodeSettingGuarded, "keys")
	f("PATCH", "/v1/cluster", `{"no_key":"nearest"}`, 400, api.CodeInvalid, "no_key")
	f("PATCH", "/v1/cluster", `{"no_key":"any","no_key":"reject"}`, 400, api.CodeInvalid, "no_key")
	f("PATCH", "/v1/cluster", `{"level":99}`, 501, api.CodeUnsupported, "level")
	f("POST", "/v1/leader/transfer", `{"to":"nobody"}`, 400, api.CodeInvalid, "to")
	f("POST", "/v1/proxies/p1/beat", `{"address":"x"}`, 400, api.CodeInvalid, "address")
	f("POST", "/v1/proxies/p%201/beat", `{}`, 400, api.CodeInvalid, "id")
	f("POST", "/v1/peers", `{}`, 400, api.CodeInvalid, "")
	f("GET", "/v1/nothing", ``, 404, api.CodeNotFound, "")
	if after := l.State(); after.Version() != before.Version() || after.NewestChange() != before.NewestChange() {
		t.Errorf("bad input moved the ring from %s to %s", before.Version(), after.Version())
	}
}

func TestRingForms(t *testing.T) {
	l := newLone(t, nil)
	l.send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1","on_down":"reset"}`)
	l.await(func() bool { return len(l.State().SlotsHeld()) == 1 })
	first := l.State().Version()

	response, body := l.send("GET", "/v1/ring", "")
	var shown api.RingJSON
	if err := json.Unmarshal(body, &shown); err != nil || response.Header.Get("ETag") != first.ETag() {
		t.Fatalf("got %v %v", err, response.Header)
	}
	fromJSON, err := ring.ViewFromJSON(shown)
	if err != nil {
		t.Fatal(err)
	}
	_, frame := l.send("GET", "/v1/ring", "", "Accept: "+api.TypeRing)
	old, err := ring.DecodeView(frame)
	if err != nil || old.Table.Digest() != fromJSON.Table.Digest() || old.Table.Version != first {
		t.Fatalf("the forms differ: %v", err)
	}
	response, zipped := l.send("GET", "/v1/ring", "", "Accept: "+api.TypeRing, "Accept-Encoding: gzip")
	reader, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil || response.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("got %v, %v", response.Header, err)
	}
	if plain, err := io.ReadAll(reader); err != nil || !bytes.Equal(plain, frame) {
		t.Fatalf("gzip changed the ring: %v", err)
	}

	f := func(status int, path string, headers ...string) []byte {
		t.Helper()
		response, body := l.send("GET", path, "", headers...)
		if response.StatusCode != status {
			t.Fatalf("%s: got %d %s", path, response.StatusCode, body)
		}
		return body
	}
	f(304, "/v1/ring", "If-None-Match: "+first.ETag())
	f(204, "/v1/ring?wait=10ms&after="+first.String())
	f(406, "/v1/ring", "Accept: text/html")
	f(410, "/v1/ring?after=0-1", "Accept: "+api.TypeRingDelta)
	f(200, "/v1/ring?after=0-1", "Accept: "+api.TypeRingDelta+", "+api.TypeRing)

	l.send("POST", "/v1/nodes", `{"id":"n2","address":"127.0.0.1:2","on_down":"reset"}`)
	l.await(func() bool { return len(l.State().SlotsHeld()) == 2 })
	var delta api.RingDelta
	if err := json.Unmarshal(f(200, "/v1/ring?after="+first.String(), "Accept: "+api.TypeRingDelta), &delta); err != nil {
		t.Fatal(err)
	}
	next, err := old.Apply(&delta)
	if err != nil || next.Table.Version.Compare(first) <= 0 {
		t.Fatalf("the delta does not apply: %v", err)
	}
	var diff api.RingDiff
	if err := json.Unmarshal(f(200, "/v1/ring/diff?from="+first.String()), &diff); err != nil || diff.Moved != 2048 || diff.Share != 0.5 {
		t.Fatalf("got %d moved, %v", diff.Moved, err)
	}
}

// TestPollWakes: whoever waits hears of a change at once.
func TestPollWakes(t *testing.T) {
	l := newLone(t, nil)
	after := l.State().Version()
	woken := make(chan int, 1)
	go func() {
		response, _ := l.send("GET", fmt.Sprintf("/v1/ring?wait=10s&after=%s", after), "")
		woken <- response.StatusCode
	}()
	l.send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1"}`)
	select {
	case status := <-woken:
		if status != http.StatusOK {
			t.Fatalf("got %d", status)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the poll slept on")
	}
}

// TestGarbageOnBothPorts: bytes that are no protocol get an error or a closed connection, and the
// member lives on.
func TestGarbageOnBothPorts(t *testing.T) {
	l := newLone(t, nil)
	garbage := []string{"\x00\x01\x02\xff\n", strings.Repeat("A", 1<<20), "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 1<<20), "stead-raft/1 someone-else\n\x00", "POST /v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"}
	for _, address := range []string{l.APIAddr(), l.RaftAddr()} {
		for _, bytes := range garbage {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, bytes)
			_ = conn.(*net.TCPConn).CloseWrite()
			answer, _ := io.ReadAll(conn)
			if strings.Contains(string(answer), " 200 ") {
				t.Errorf("%s took %q: %q", address, api.Clip(bytes), answer)
			}
			_ = conn.Close()
		}
	}
	if status := call(t, l.Member, "GET", "/v1/cluster?consistency=linearizable", nil, nil); status != http.StatusOK {
		t.Fatalf("afterwards: %d", status)
	}
}

// TestLeavingTakesEffectAtOnce: a node that says it stops is down when its beat is answered.
func TestLeavingTakesEffectAtOnce(t *testing.T) {
	l := newLone(t, nil)
	l.send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1"}`)
	_, body := l.send("POST", "/v1/nodes/n1/beat", `{"leaving":true}`)
	var answer api.Beaten
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != api.NodeDown {
		t.Fatalf("got %s", body)
	}
}

// TestCheckedNode: a static node with a check is what its check says.
func TestCheckedNode(t *testing.T) {
	l := newLone(t, nil)
	healthy := make(chan bool, 1)
	healthy <- true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok := <-healthy
		healthy <- ok
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	l.send("POST", "/v1/nodes", fmt.Sprintf(
		`{"id":"n1","address":%q,"lease":"none","check":{"http":"/healthz","interval":"100ms","failures":2}}`, listener.Addr()))
	status := func(want api.NodeStatus) func() bool {
		return func() bool { node := l.State().Node("n1"); return node != nil && node.Status == want }
	}
	l.await(status(api.NodeUp))
	<-healthy
	healthy <- false
	l.await(status(api.NodeDown))
	<-healthy
	healthy <- true
	l.await(status(api.NodeUp))
}
