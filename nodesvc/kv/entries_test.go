package kv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestEntryLife(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		expect(t, "get nothing", do(t, server, "GET", "/kv/a", ""), 404, api.CodeNotFound)
		expect(t, "head nothing", do(t, server, "HEAD", "/kv/a", ""), 404, "")
		expect(t, "delete nothing", do(t, server, "DELETE", "/kv/a", ""), 404, api.CodeNotFound)

		created := do(t, server, "PUT", "/kv/a", "one", "Content-Type: text/plain")
		expect(t, "create", created, 201, "")
		got := do(t, server, "GET", "/kv/a", "")
		expect(t, "get", got, 200, "")
		if got.body != "one" || got.header.Get("Content-Type") != "text/plain" || got.header.Get("ETag") != created.header.Get("ETag") ||
			got.header.Get(api.HeaderEpoch) != "5" {
			t.Errorf("get: %+v", got)
		}
		head := do(t, server, "HEAD", "/kv/a", "")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != "3" || head.header.Get("ETag") != got.header.Get("ETag") {
			t.Errorf("head: %+v", head)
		}

		replaced := do(t, server, "PUT", "/kv/a", "one")
		expect(t, "replace", replaced, 204, "")
		if replaced.header.Get("ETag") == created.header.Get("ETag") {
			t.Error("two writes share an ETag")
		}
		if got := do(t, server, "GET", "/kv/a", ""); got.header.Get("Content-Type") != contentTypeDefault {
			t.Errorf("without a type: %v", got.header)
		}
		deleted := do(t, server, "DELETE", "/kv/a", "")
		expect(t, "delete", deleted, 204, "")
		if deleted.header.Get("ETag") != "" {
			t.Error("an entry that is gone has an ETag")
		}
		expect(t, "get deleted", do(t, server, "GET", "/kv/a", ""), 404, api.CodeNotFound)
		expect(t, "create again", do(t, server, "PUT", "/kv/a", ""), 201, "")
		if got := do(t, server, "GET", "/kv/a", ""); got.status != 200 || got.body != "" {
			t.Errorf("an empty value: %+v", got)
		}
	})
}

// The sharding key is part of an entry's name.
func TestEntriesOfTwoKeys(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		for _, key := range []string{"acme", "acm", "%00", "%C3%BC%2F"} {
			if got, err := try(server, "PUT", "/kv/e", strings.NewReader("of "+key), "Stead-Key: "+key); err != nil || got.status != 201 {
				t.Errorf("put of %s: %v %v", key, got, err)
			}
		}
		for _, key := range []string{"acme", "acm", "%00", "%C3%BC%2F"} {
			if got, err := try(server, "GET", "/kv/e", nil, "Stead-Key: "+key); err != nil || got.body != "of "+key {
				t.Errorf("get of %s: %v %v", key, got, err)
			}
		}
	})
}

func TestBinaryNames(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		names := []string{".", "..", "a/b", "a//b", "a b", "a+b", "%", "%2F", "é", "\x00", "\xff\xfe", "?", "#", ";", "key", "\r\n"}
		for _, name := range names {
			expect(t, fmt.Sprintf("put %q", name), do(t, server, "PUT", "/kv/"+octets(name), name), 201, "")
		}
		for _, name := range names {
			if got := do(t, server, "GET", "/kv/"+octets(name), ""); got.status != 200 || got.body != name {
				t.Errorf("%q: %d %q", name, got.status, got.body)
			}
		}
	})
}

// octets writes a name with every octet percent-encoded.
func octets(name string) string {
	var text strings.Builder
	for _, c := range []byte(name) {
		fmt.Fprintf(&text, "%%%02X", c)
	}
	return text.String()
}

func TestNamesAndPaths(t *testing.T) {
	server := openServer(t, "")
	expect(t, "no name", do(t, server, "PUT", "/kv/", "x"), 400, api.CodeInvalid)
	expect(t, "long name", do(t, server, "PUT", "/kv/"+strings.Repeat("n", NameLengthMax+1), "x"), 400, api.CodeInvalid)
	expect(t, "longest name", do(t, server, "PUT", "/kv/"+strings.Repeat("%FF", NameLengthMax), "x"), 201, "")
	expect(t, "two segments", do(t, server, "PUT", "/kv/a/b", "x"), 404, api.CodeNotFound)
	expect(t, "no entry path", do(t, server, "GET", "/kv", ""), 404, api.CodeNotFound)
	expect(t, "root", do(t, server, "GET", "/", ""), 404, api.CodeNotFound)
	expect(t, "query is no part of the name", do(t, server, "PUT", "/kv/q?x=/y", "x"), 201, "")
	expect(t, "found without query", do(t, server, "GET", "/kv/q", ""), 200, "")

	post := do(t, server, "POST", "/kv/a", "x")
	expect(t, "post", post, 405, api.CodeMethodNotAllowed)
	if post.header.Get("Allow") != "GET, HEAD, PUT, DELETE" {
		t.Errorf("post allows %q", post.header.Get("Allow"))
	}
	direct, err := try(server, "GET", "/kv/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "without a proxy", direct, 400, api.CodeNoKey)
	if !strings.Contains(direct.body, `"next":"send the request to a proxy`) {
		t.Errorf("without a proxy: %s", direct.body)
	}
	expect(t, "coded content", do(t, server, "PUT", "/kv/a", "x", "Content-Encoding: gzip"), 400, api.CodeInvalid)
	expect(t, "partial content", do(t, server, "PUT", "/kv/a", "x", "Content-Range: bytes 0-0/2"), 400, api.CodeInvalid)
	expect(t, "long type", do(t, server, "PUT", "/kv/a", "x", "Content-Type: "+strings.Repeat("t", 256)), 400, api.CodeInvalid)
	expect(t, "bad condition", do(t, server, "PUT", "/kv/a", "x", "If-Match: abc"), 400, api.CodeInvalid)
	expect(t, "nothing was stored", do(t, server, "GET", "/kv/a", ""), 404, api.CodeNotFound)
}

// Targets go through as raw octets: what net/http would clean or redirect is another name here.
func TestRawTargets(t *testing.T) {
	server := openServer(t, "")
	run := func(target string, status int) {
		t.Helper()
		if got := raw(t, server, "PUT "+target+" HTTP/1.1\r\nHost: x\r\nStead-Key: acme\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"); got.StatusCode != status {
			t.Errorf("%s: %s, want %d", target, got.Status, status)
		}
	}
	run("/kv/.", 201)
	run("/kv/..", 201)
	run("/kv/%2E", 204) // the same name as "."
	run("/kv/a;b=c", 201)
	run("/kv/a%3Bb%3Dc", 204)
	run("/kv//a", 404)
	run("/kv/../kv/a", 404)
	run("//kv/a", 404)
	run("http://elsewhere/kv/absolute", 201)
	run("http://elsewhere?x=/kv/absolute", 404)
	run("/kv/%zz", 400)
	run("*", 404)
}

// raw sends octets as they are and reads the head of the answer.
func raw(t *testing.T, server *Server, request string) *http.Response {
	t.Helper()
	return rawly(t, server, request, func(*net.TCPConn) error { return nil })
}

// rawCut says that nothing more comes: net/http takes it that the client has gone.
func rawCut(t *testing.T, server *Server, request string) *http.Response {
	t.Helper()
	return rawly(t, server, request, (*net.TCPConn).CloseWrite)
}

func rawly(t *testing.T, server *Server, request string, sent func(*net.TCPConn) error) *http.Response {
	t.Helper()
	connection, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	if err := sent(connection.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	return got
}

func TestTruncatedUploadStoresNothing(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		expect(t, "first", do(t, server, "PUT", "/kv/a", "whole"), 201, "")
		head := "PUT /kv/a HTTP/1.1\r\nHost: x\r\nStead-Key: acme\r\n"
		for name, request := range map[string]string{
			"length":     head + "Content-Length: 10\r\n\r\nhalf",
			"chunk":      head + "Transfer-Encoding: chunked\r\n\r\n8\r\nhalf",
			"last chunk": head + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
			"trailer":    head + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
		} {
			if got := rawCut(t, server, request); got.StatusCode != 400 {
				t.Errorf("%s: %s", name, got.Status)
			}
		}
		if got := do(t, server, "GET", "/kv/a", ""); got.body != "whole" {
			t.Errorf("a body that broke off was stored: %q", got.body)
		}
	})
}

func TestBigValues(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		value := make([]byte, ValueSizeMax+1)
		_, _ = rand.New(rand.NewSource(1)).Read(value)
		put := func(size int, chunked bool) (answer, error) {
			var body io.Reader = bytes.NewReader(value[:size])
			if chunked {
				body = struct{ io.Reader }{body}
			}
			return try(server, "PUT", "/kv/big", body, "Stead-Key: acme", "Expect: 100-continue")
		}
		for _, size := range []int{1 << 20, 9 << 20, ValueSizeMax} {
			for _, chunked := range []bool{false, true} {
				if got, err := put(size, chunked); err != nil || got.status/100 != 2 {
					t.Fatalf("%d bytes: %d %v", size, got.status, err)
				}
				if got := do(t, server, "GET", "/kv/big", ""); got.body != string(value[:size]) {
					t.Errorf("%d bytes came back as %d", size, len(got.body))
				}
			}
		}
		for _, chunked := range []bool{false, true} {
			got, err := put(ValueSizeMax+1, chunked)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, "one byte too many", got, 413, api.CodeValueTooLarge)
		}
		if got := do(t, server, "GET", "/kv/big", ""); len(got.body) != ValueSizeMax {
			t.Errorf("the value that fits is %d bytes now", len(got.body))
		}
	})
}

// A key of another node is answered before its body: the client is not told to go on.
func TestRefusalComesBeforeTheBody(t *testing.T) {
	server := openServer(t, "")
	got := raw(t, server, "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\nExpect: 100-continue\r\n\r\n")
	if got.StatusCode != 400 {
		t.Errorf("the first answer is %s", got.Status)
	}
}

func TestConditionalRequests(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		expect(t, "if-match on nothing", do(t, server, "PUT", "/kv/a", "x", "If-Match: *"), 412, api.CodePrecondition)
		created := do(t, server, "PUT", "/kv/a", "1", "If-None-Match: *")
		expect(t, "create only", created, 201, "")
		old := created.header.Get("ETag")
		taken := do(t, server, "PUT", "/kv/a", "2", "If-None-Match: *")
		expect(t, "create again", taken, 412, api.CodePrecondition)
		if taken.header.Get("ETag") != old {
			t.Error("the refusal does not say what stands")
		}
		cached := do(t, server, "GET", "/kv/a", "", "If-None-Match: "+old)
		if cached.status != 304 || cached.body != "" || cached.header.Get("ETag") != old {
			t.Errorf("cached: %+v", cached)
		}
		expect(t, "cached, weakly", do(t, server, "HEAD", "/kv/a", "", `If-None-Match: "x", W/`+old), 304, "")
		expect(t, "swap", do(t, server, "PUT", "/kv/a", "2", "If-Match: "+old), 204, "")
		expect(t, "swap again", do(t, server, "PUT", "/kv/a", "3", "If-Match: "+old), 412, api.CodePrecondition)
		expect(t, "changed", do(t, server, "GET", "/kv/a", "", "If-None-Match: "+old), 200, "")
		expect(t, "range of old", do(t, server, "GET", "/kv/a", "", "If-Match: "+old), 412, api.CodePrecondition)
		expect(t, "delete old", do(t, server, "DELETE", "/kv/a", "", "If-Match: "+old), 412, api.CodePrecondition)
		expect(t, "delete unless", do(t, server, "DELETE", "/kv/a", "", "If-None-Match: *"), 412, api.CodePrecondition)
		expect(t, "delete any", do(t, server, "DELETE", "/kv/a", "", "If-Match: *"), 204, "")
		expect(t, "gone", do(t, server, "DELETE", "/kv/a", "", "If-Match: *"), 404, api.CodeNotFound)
	})
}

// Of writers with the same condition one wins, round after round.
func TestOneConditionalWriterWins(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		const writers, rounds = 16, 10
		condition := "If-None-Match: *"
		for round := range rounds {
			var won atomic.Int32
			var all sync.WaitGroup
			for writer := range writers {
				all.Go(func() {
					body := fmt.Sprintf("%d of %d", writer, round)
					got, err := try(server, "PUT", "/kv/contended", strings.NewReader(body), "Stead-Key: acme", condition)
					switch {
					case err != nil:
						t.Error(err)
					case got.status/100 == 2:
						won.Add(1)
					case got.status != 412:
						t.Errorf("%d %s", got.status, got.body)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Errorf("round %d: %d writers won", round, won.Load())
			}
			condition = "If-Match: " + do(t, server, "HEAD", "/kv/contended", "").header.Get("ETag")
		}
	})
}

func TestAdministrativePaths(t *testing.T) {
	server := openServer(t, "")
	expect(t, "livez", do(t, server, "GET", "/livez", ""), 200, "")
	expect(t, "readyz", do(t, server, "GET", "/readyz", ""), 200, "")
	expect(t, "post livez", do(t, server, "POST", "/livez", ""), 405, api.CodeMethodNotAllowed)
	slots := do(t, server, "GET", "/v1/slots", "")
	if !strings.HasPrefix(slots.body, `{"node":"n0","version":{"generation":1,"number":1},"slots":[{"slot":0,"epoch":5},{"slot":1,"epoch":5},`) {
		t.Errorf("slots: %.200s", slots.body)
	}
	do(t, server, "BREW", "/kv/a", "")
	metrics := do(t, server, "GET", "/metrics", "").body
	for _, line := range []string{
		`stead_node_slots 256`, `stead_node_ring_version 1`, `stead_node_registrations_total 1`,
		`stead_kv_requests_total{method="GET",status="200"} 3`, `stead_kv_requests_total{method="other",status="405"} 2`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// A store that failed stops the server, and the server serves nothing more from it.
func TestFailedStoreEndsTheServer(t *testing.T) {
	var server *Server
	t.Cleanup(func() { abandon(server.store) }) // a process would end here
	server = openServer(t, "")
	cause := errors.New("cannot write store: disk is gone")
	server.store.set(cause)
	<-server.Done()
	if !errors.Is(server.Err(), cause) {
		t.Errorf("it ended with %v", server.Err())
	}
}

// Whatever octets a name has, the path that carries them leads back to them.
func FuzzName(f *testing.F) {
	f.Add("/kv/a", []byte("a/b"))
	f.Add("/kv/%2e%2E", []byte{0, 0xff})
	f.Add("/kv/a+b", []byte(".."))
	f.Fuzz(func(t *testing.T, path string, name []byte) {
		if len(name) > 0 && len(name) <= NameLengthMax {
			got, problem := readName(rawPath("/kv/" + url.PathEscape(string(name)) + "?x=/"))
			if problem != nil || !bytes.Equal(got, name) {
				t.Fatalf("%q came back as %q, %v", name, got, problem)
			}
			if got, problem := readName(rawPath("/kv/" + octets(string(name)))); problem != nil || !bytes.Equal(got, name) {
				t.Fatalf("%q, all encoded, came back as %q, %v", name, got, problem)
			}
		}
		got, problem := readName(rawPath(path))
		if problem != nil {
			if problem.Status != 400 && problem.Status != 404 {
				t.Fatalf("%q: %v", path, problem)
			}
			return
		}
		if len(got) == 0 || len(got) > NameLengthMax {
			t.Fatalf("%q: a name of %d octets", path, len(got))
		}
	})
}
