package dataplane

import (
	"log/slog"
	"strings"
	"testing"
)

var discard = slog.New(slog.DiscardHandler)

// TestForwardedOctets looks at both sides: what the node received and what the client got.
func TestForwardedOctets(t *testing.T) {
	node := startNode(t, answer("HTTP/1.1 200 Fine thanks\r\nContent-Length: 2\r\nX-Mixed-CASE:  a  b\r\nKeep-Alive: timeout=5\r\n"+
		"Connection: x-internal\r\nX-Internal: 1\r\nStead-Epoch: 7\r\nStead-Anything: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: text/x\r\n\r\nok"))
	view := ringOf(t, 1, 7, up("n1", node.address()))
	proxy, _ := start(t, view)
	wantAnswer := "HTTP/1.1 200 Fine thanks\r\nX-Mixed-CASE:  a  b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: text/x\r\nContent-Length: 2\r\n"

	// f sends a request of these lines and compares what the node received, stamps for the key added.
	f := func(request, wantNode, key, wantEnd string) {
		t.Helper()
		got, _ := talk(t, proxy, request)
		if want := wantAnswer + wantEnd; got != want {
			t.Errorf("the client got\n%q, want\n%q", got, want)
		}
		head, body, _ := strings.Cut(wantNode, "\r\n\r\n")
		if raw, want := node.next(t).raw, head+"\r\n"+stamps(view, key)+"\r\n"+body; raw != want {
			t.Errorf("the node received\n%q, want\n%q", raw, want)
		}
		node.none(t)
	}
	const end = "\r\nok"

	f("GET /a//b/../c%2Fd?x=%zz&y HTTP/1.1\r\nhOST: h\r\nX-Shard-Key: k\r\naccept:*/*\r\nX-Odd:\t a \xff \r\n\r\n",
		"GET /a//b/../c%2Fd?x=%zz&y HTTP/1.1\r\nhOST: h\r\nX-Shard-Key: k\r\naccept:*/*\r\nX-Odd:\t a \xff \r\n\r\n", "k", end)
	f("GET /kv/%00%Ff?q HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /kv/%00%Ff?q HTTP/1.1\r\nHost: h\r\n\r\n", "\x00\xff", end)
	f("GET http://h:80/kv/abs HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /kv/abs HTTP/1.1\r\nHost: h\r\n\r\n", "abs", end)
	f("\r\nGET /kv/after-an-empty-line HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /kv/after-an-empty-line HTTP/1.1\r\nHost: h\r\n\r\n", "after-an-empty-line", end)
	// Hop-by-hop fields and Stead's own, in any spelling, stay behind.
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: x-mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\n"+
		"Proxy-Connection: x\r\nUpgrade: h2c\r\nTrailer: x\r\nstead-key: evil\r\nSTEAD_SLOT: 9\r\nStead.Slot: 9\r\nStead-Epoch: 99\r\nX-Kept: 1\r\n\r\n",
		"GET /kv/a HTTP/1.1\r\nHost: h\r\nX-Kept: 1\r\n\r\n", "a", end)
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: close, host\r\n\r\n",
		"GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "a", "Connection: close\r\n"+end)
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "a", end)
	// Bodies.
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\n\r\nhello",
		"PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "a", end)
	f("POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "a", end)
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
		"GET /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", "a", end)
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", "a", end)
	// HTTP/1.0 clients.
	f("GET /kv/a HTTP/1.0\r\n\r\n",
		"GET /kv/a HTTP/1.1\r\nHost: "+node.address()+"\r\n\r\n", "a", "Connection: close\r\n"+end)
	f("GET /kv/a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
		"GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "a", "Connection: keep-alive\r\n"+end)
}

// TestOneReading: what HTTP allows to be written in several ways reaches the node in one of them.
func TestOneReading(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ringOf(t, 1, 7, up("n1", node.address()))
	proxy, _ := start(t, view)
	// f sends a request, its connection to be closed behind it, and compares what the node received.
	f := func(request, wantNode string) {
		t.Helper()
		line, fields, _ := strings.Cut(request, "\r\n")
		got, closed := talk(t, proxy, line+"\r\nConnection: close\r\n"+fields)
		if want := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"; got != want || !closed {
			t.Errorf("%q: the client got %q", request, got)
			return
		}
		head, body, _ := strings.Cut(wantNode, "\r\n\r\n")
		if raw, want := node.next(t).raw, head+"\r\n"+stamps(view, "a")+"\r\n"+body; raw != want {
			t.Errorf("the node received\n%q, want\n%q", raw, want)
		}
		node.none(t)
	}
	const put, get = "PUT /kv/a HTTP/1.1\r\nHost: h\r\n", "GET /kv/a HTTP/1.1\r\nHost: h\r\n"
	// Framing.
	inChunks := put + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	f(put+"Transfer-Encoding:\tchunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n", inChunks)
	f(put+"tRANSFER-eNCODING:CHUNKED\r\n\r\n0000005\r\nhello\r\n000\r\n\r\n", inChunks)
	f(put+"Transfer-Encoding: chunked\r\n\r\n5;a=\"b;c\\\"\\\\\";d=\"\"\r\nhello\r\n0;\"\"\r\n\r\n", inChunks)
	f(get+"Transfer-Encoding: chunked\r\n\r\nB\r\nhello world\r\n0\r\n\r\n", get+"Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")
	f(put+"Content-Length:\t00000000000000005 \r\n\r\nhello", put+"Content-Length: 5\r\n\r\nhello")
	// Connection cannot take away what frames a request, says whom it is for, or is the proxy's own.
	f(put+"Connection: content-length, transfer-encoding, host, te\r\nContent-Length: 5\r\n\r\nhello", put+"Content-Length: 5\r\n\r\nhello")
	f(put+"Connection: transfer-encoding, trailer\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", inChunks)
	f(get+"Connection: stead-key, stead-slot, Stead_Epoch\r\nStead-Key: b\r\n\r\n", get+"\r\n")
	// Nobody changes to HTTP/2 in clear.
	f(put+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhello", put+"Content-Length: 5\r\n\r\nhello")
	// Methods and targets.
	long := strings.Repeat("M", 1000)
	f("get /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "get /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("!#$%&'*+-.^_`|~09 /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "!#$%&'*+-.^_`|~09 /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f(long+" /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", long+" /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("GET /caf\xc3\xa9\xff\\\"<>?tenant=a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /caf\xc3\xa9\xff\\\"<>?tenant=a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("OPTIONS * HTTP/1.1\r\nHost: h\r\nX-Shard-Key: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\nX-Shard-Key: a\r\n\r\n")
	f("OPTIONS HTTP://H:80 HTTP/1.1\r\nHost: h\r\nX-Shard-Key: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\nX-Shard-Key: a\r\n\r\n")
	f("GET https://h:443/kv/a HTTP/1.1\r\nHost: h\r\n\r\n", get+"\r\n")
	f("GET http://[::1]:80/kv/a HTTP/1.1\r\nHost: [::1]\r\n\r\n", "GET /kv/a HTTP/1.1\r\nHost: [::1]\r\n\r\n")
	f("GET /kv/a HTTP/1.1\r\nHost:\th: \r\n\r\n", "GET /kv/a HTTP/1.1\r\nHost:\th: \r\n\r\n")
	// Expectations that mean nothing.
	f(get+"Expect: 100-continue\r\n\r\n", get+"\r\n")
	f("PUT /kv/a HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", put+"Content-Length: 5\r\n\r\nhello")
}

// TestSmallChunks: chunks that come together go on together.
func TestSmallChunks(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	const many = 1000
	served(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1\r\nx\r\n", many)+"0\r\n\r\n", "ok")
	got := node.next(t)
	if lines := strings.Count(got.raw, "\r\n"); got.body != strings.Repeat("x", many) || lines > many/2 {
		t.Errorf("the node got %d octets in %d lines", len(got.body), lines)
	}
}

// TestPipelined: requests that come in one piece are answered in their order.
func TestPipelined(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	got, closed := talk(t, proxy, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"+
		"PUT /kv/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"+
		"GET /kv/c HTTP/1.1\r\nHost: h\r\n\r\n"+
		"GET /kv/d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"+
		"GET /kv/never HTTP/1.1\r\nHost: h\r\n\r\n")
	if strings.Count(got, "200 OK") != 4 || !closed {
		t.Errorf("closed %v after\n%q", closed, got)
	}
	for _, want := range []string{"one", "two", "", ""} {
		if body := node.next(t).body; body != want {
			t.Errorf("the node received the body %q, want %q", body, want)
		}
	}
	node.none(t)
}
