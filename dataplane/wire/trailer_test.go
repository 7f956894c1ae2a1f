package wire

import (
	"errors"
	"strings"
	"testing"
)

// TestTrailers: which trailers pass, and what is said of the others.
func TestTrailers(t *testing.T) {
	f := func(lines, connection, want string, wantErr error) {
		t.Helper()
		var chunks Chunks
		text := []byte("0\r\n" + lines + "\r\n")
		for _, piece := range [][]byte{text[:len(text)/2], text[len(text)/2:]} {
			if n, _, err := chunks.Next(piece); err != nil || n != len(piece) {
				t.Fatalf("%q: %v", lines, err)
			}
		}
		if !chunks.Done() || string(chunks.Trailers()) != lines {
			t.Errorf("%q: got %q", lines, chunks.Trailers())
		}
		var head Request
		if err := head.Parse([]byte(request("PUT / HTTP/1.1", "Host: h", "Connection: "+connection))); err != nil {
			t.Fatal(err)
		}
		may := func(name []byte) bool { return !SameName(name, "x-key") }
		if err := CheckTrailers(chunks.Trailers(), may); err != wantErr {
			t.Errorf("%q: %v", lines, err)
		}
		if got := string(AppendTrailers(nil, chunks.Trailers(), &head.Head)); got != want {
			t.Errorf("%q: passes as %q", lines, got)
		}
	}
	f("", "close", "", nil)
	f("Digest: x\r\nGrpc-Status:0\r\nE:\r\n", "close", "Digest: x\r\nGrpc-Status:0\r\nE:\r\n", nil)
	f("A: 1\r\nB: 2\r\n", "b", "A: 1\r\n", nil)
	f("X_Key: 1\r\n", "close", "X_Key: 1\r\n", errTrailerField)
	for _, name := range []string{
		"Content-Length", "content_length", "Transfer-Encoding", "Host", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect",
		"Proxy-Connection", "Proxy-Authorization", "Stead-Key", "STEAD_EPOCH", "Stead.Epoch", "Stead-Anything", "Authorization", "Cookie", "Set-Cookie",
		"Content-Type", "Content-Encoding", "Content-Range", "Cache-Control", "If-Match", "If_None_Match", "If+Match", "Range", "Forwarded", "X-Forwarded-For", "X-Forwarded.For", "X.Forwarded.For", "X-Forwarded", "X-Real-IP+",
		"Location", "Www-Authenticate", "Max-Forwards",
	} {
		f("A: 1\r\n"+name+": 5\r\nB: 2\r\n", "close", "A: 1\r\nB: 2\r\n", errTrailerField)
	}
}

// TestTrailerField: Trailer passes with chunks, if it promises nothing forbidden; TE is understood where
// Connection names it.
func TestTrailerField(t *testing.T) {
	f := func(wantPasses, wantTakes bool, lines ...string) {
		t.Helper()
		var head Request
		if err := head.Parse([]byte(request(append([]string{"PUT / HTTP/1.1", "Host: h"}, lines...)...))); err != nil {
			t.Fatal(err)
		}
		passes := false
		for i := range head.Fields {
			passes = passes || head.Fields[i].Kind == Trailer && !head.HopByHop(&head.Fields[i])
		}
		if passes != wantPasses || head.TakesTrailers != wantTakes {
			t.Errorf("%s: passes %v, takes %v", strings.Join(lines, ", "), passes, head.TakesTrailers)
		}
	}
	const chunked = "Transfer-Encoding: chunked"
	f(true, false, chunked, "Trailer: Digest, , X-Sum")
	f(false, false, chunked, "Trailer: Digest", "Connection: trailer")
	f(false, false, "Content-Length: 5", "Trailer: Digest")
	f(false, false, "Trailer: Digest")
	f(false, true, "TE: trailers", "Connection: TE")
	f(false, true, "Connection: close, te", "TE: gzip;q=0.5, Trailers;q=1")
	f(false, false, "TE: trailers")
	f(false, false, "TE: trailersx", "Connection: TE")

	for _, announced := range []string{"Content-Length", "Caf\xc3\xa9", "a b", "a;q=1"} {
		var request Request
		if err := request.Parse([]byte("PUT / HTTP/1.1\r\nHost: h\r\nTrailer: Digest, " + announced + "\r\n\r\n")); err != errTrailerField {
			t.Errorf("a request that announces %q: %v", announced, err)
		}
	}
	var request Request
	if err := request.Parse([]byte("PUT / HTTP/1.1\r\nHost: h\r\nTrailer: Digest\r\nTrailer: X-Sum, , X_Key\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	but := func(other string) func([]byte) bool {
		return func(name []byte) bool { return !SameName(name, other) }
	}
	if err := request.CheckAnnounced(but("x-key")); err != errTrailerField {
		t.Errorf("what the caller may not have late passes: %v", err)
	}
	if err := errors.Join(request.CheckAnnounced(but("x-other")), request.CheckAnnounced(nil)); err != nil {
		t.Error(err)
	}
	var answer Answer
	if err := answer.Parse([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest, Content-Length\r\n\r\n")); err != nil || !answer.HopByHop(&answer.Fields[1]) {
		t.Errorf("an answer that announces a length: %v", err)
	}
}
