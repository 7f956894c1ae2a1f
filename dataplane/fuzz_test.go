package dataplane

import (
	"slices"
	"strings"
	"testing"
)

// FuzzPipeline gives a client's octets to whole proxies over sockets. Whatever reaches a node, net/http and fasthttp
// read as the same requests, with nothing left over, and each of them is one that net/http finds in what the client
// sent. The client gets an answer to each, whole, and none behind the refusal that ends its connection. A node of
// the SDK sees the same requests.
func FuzzPipeline(f *testing.F) {
	smuggled(func(_, octets string) {
		f.Add([]byte(octets + getA))
	})
	regular(func(octets string) {
		f.Add([]byte(octets))
		f.Add([]byte(octets + getA))
		f.Add([]byte(getA + octets[:len(octets)*2/3]))
	})
	plain, muxed := plainPipeline(f, answerInTurn), muxedPipeline(f)
	f.Fuzz(func(t *testing.T, octets []byte) {
		if len(octets) > readingMax/2 {
			return
		}
		asked := asked(octets)
		there := plain.run(t, octets)
		there.checkNode(t, asked)
		there.checkClient(t, asked)
		here := muxed.run(t, octets)
		if there.unread {
			return
		}
		here.checkAsked(t, asked)
		here.checkClient(t, asked)
		if !there.left && !here.left {
			sameRequests(t, there.requests, here.requests)
		}
	})
}

// sameRequests compares what nodes of HTTP/1.1 and of the SDK saw, but for names of their own, and ids and marks that
// were drawn. A client of HTTP/1.0 is parted with behind an answer of unknown length, and the nodes' answers differ in that.
func sameRequests(t *testing.T, plain, muxed []reading) {
	t.Helper()
	old := func(request reading) bool {
		return slices.ContainsFunc(request.fields["via"], func(via string) bool { return strings.HasPrefix(via, "1.0 stead-") })
	}
	same := len(plain) == len(muxed) || slices.ContainsFunc(append(plain, muxed...), old)
	for i := range min(len(plain), len(muxed)) {
		a, b := plain[i], muxed[i]
		for _, drawn := range []string{"x-request-id", "via"} {
			delete(a.fields, drawn)
			delete(b.fields, drawn)
		}
		if strings.HasPrefix(a.host, "127.0.0.1:") {
			b.host = a.host
		}
		same = same && a.equal(&b)
	}
	if !same {
		t.Fatalf("a node of HTTP/1.1 saw\n%sone of the SDK\n%s", names(plain), names(muxed))
	}
}

// regular lists requests that are as they should be.
func regular(f func(octets string)) {
	f(getA)
	f("\r\n" + getA + "\r\n" + getA + getA)
	f("HEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	f("GET /?tenant=a%2Fb HTTP/1.0\r\n\r\n")
	f("GET /kv/a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n" + getA)
	f("GET http://H:80/kv/a//../b?c HTTP/1.1\r\nHost: h\r\nX-Shard-Key: k\r\n\r\n")
	f("OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nCookie: a=b; sid=c\r\n\r\n")
	f("OPTIONS https://h HTTP/1.1\r\nHost: h:443\r\n\r\n")
	f("get /\xff%zz HTTP/1.1\r\nHost: acme.example.com\r\nX-Odd:\t a \xff \r\nEmpty:\r\n\r\n")
	f("GET /kv/%zz HTTP/1.1\r\nHost: h\r\n\r\n" + getA)
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\n\r\nhello")
	f("POST /kv/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\ntRANSFER-eNCODING:\tchunked \r\n\r\n5;a=\"b;c\\\"\";d\r\nhello\r\n0A\r\n0123456789\r\n000\r\n\r\n")
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\nTrailer: Digest\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: y\r\nX-Sum:z\r\n\r\n")
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{\"user\":{\"id\":\"acme\"}}")
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: x-mine, host, content-length, close\r\nX-Mine: 1\r\n" +
		"Content-Length: 2\r\nStead-Key: evil\r\nX_Forwarded_For: 1\r\n\r\nhi")
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	f("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 10\r\n\r\n--x\r\n\r\n--x\r")
}
