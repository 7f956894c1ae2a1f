package wire

import (
	"strings"
	"testing"
)

// request writes a request of these lines, each ended by CRLF.
func request(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func TestRequestRefused(t *testing.T) {
	f := func(text string, want error) {
		t.Helper()
		length := HeadLength([]byte(text))
		if length == 0 {
			t.Errorf("%q: no end of the head found", text)
			return
		}
		var parsed Request
		if err := parsed.Parse([]byte(text[:length])); err != want {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
	with := func(lines ...string) string {
		return request(append([]string{"POST / HTTP/1.1", "Host: h"}, lines...)...)
	}

	f("GET / HTTP/1.1\nHost: h\n\n", errBareLF)
	f("GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", errBareLF)
	f("GET / HTTP/1.1\nHost: h\r\n\r\n", errBareLF)
	f("GET / HTTP/1.1\r\nHost: h\r\n\n", errBareLF)
	f(with("A: b", " c"), errObsFold)
	f(with("A: b", "\tc"), errObsFold)
	f(with(" A: b"), errObsFold)
	f(with("A"), errNoColon)
	f(with("A : b"), errFieldName)
	f(with("A\t: b"), errFieldName)
	f(with("A b: c"), errFieldName)
	f(with(": c"), errFieldName)
	f(with("\xc3\xa9: c"), errFieldName)
	f(with("A\xff: c"), errFieldName)
	f(with("A\x00: c"), errFieldName)
	f(with("A: b\x00"), errFieldValue)
	f(with("A: b\rc"), errFieldValue)
	f(with("A: \x7f"), errFieldValue)

	f(with("Content-Length: 1", "Content-Length: 1"), errLengthTwice)
	f(with("Content-Length: 1, 1"), errLengthValue)
	f(with("Content-Length: +1"), errLengthValue)
	f(with("Content-Length: -1"), errLengthValue)
	f(with("Content-Length: 0x1"), errLengthValue)
	f(with("Content-Length: 1 1"), errLengthValue)
	f(with("Content-Length:"), errLengthValue)
	f(with("Content-Length: 1234567890123456789"), errLengthValue)
	f(with("Content_Length: 1"), errLengthAlias)
	f(with("Content.Length: 1"), errLengthAlias)
	f(with("Connection: "+strings.Repeat("b,", optionsMax+1)), errConnectionLong)
	f(with("Connection: "+strings.Repeat("b,", optionsMax), "Connection: close"), errConnectionLong)
	f(with("Transfer-Encoding: chunked", "Content-Length: 1"), errCodingLength)
	f(with("Content-Length: 1", "transfer-encoding: chunked"), errCodingLength)
	f(with("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), errCodingTwice)
	f(with("Transfer-Encoding: identity"), errCodingValue)
	f(with("Transfer-Encoding: gzip, chunked"), errCodingValue)
	f(with("Transfer-Encoding: chunked, chunked"), errCodingValue)
	f(with("Transfer-Encoding: xchunked"), errCodingValue)
	f(with("Transfer-Encoding: \"chunked\""), errCodingValue)
	f(with("Transfer-Encoding: chunked;q=1"), errCodingValue)
	f(with("Transfer-Encoding: \x0bchunked"), errFieldValue)
	f(with("Transfer-Encoding:"), errCodingValue)
	f(with("Transfer_Encoding: chunked"), errLengthAlias)
	f(with("Transfer~Encoding: chunked"), errLengthAlias)
	f(request("POST / HTTP/1.0", "Transfer-Encoding: chunked"), errCodingOld)

	f(request("GET / HTTP/1.1"), errHostMissing)
	f(request("GET / HTTP/1.1", "Host:"), errHostMissing)
	f(request("GET / HTTP/1.0", "Host:"), errHostMissing)
	f(request("GET http://h/ HTTP/1.0"), errHostMissing)
	f(request("GET / HTTP/1.1", "Host: a", "Host: a"), errHostTwice)
	f(request("GET / HTTP/1.1", "Host: a b"), errHostValue)
	f(request("GET / HTTP/1.1", "Host: a/b"), errHostValue)
	f(request("GET / HTTP/1.1", "Host: u@a"), errHostValue)
	f(request("GET / HTTP/1.1", "Host: a, b"), errHostValue)
	for _, host := range []string{
		"a:b", "a:65536", "a:+1", "a:1:2", ":80", "[::1", "[::1]a", "[]", "[::1]:x", "::1", "a[::1]", "[a]b]", "[/]", "\xc3\xa9", "a?b", "a#b", "a\\b", "\"a\"",
	} {
		f(request("GET / HTTP/1.1", "Host: "+host), errHostValue)
	}
	f(request("GET http://other/ HTTP/1.1", "Host: h"), errHostTarget)
	f(request("GET http://h:81/ HTTP/1.1", "Host: h"), errHostTarget)
	f(request("GET http://h@other/ HTTP/1.1", "Host: h"), errTargetForm)
	f(request("GET http://h:x/ HTTP/1.1", "Host: h"), errTargetForm)
	f(request("GET ftp://h/ HTTP/1.1", "Host: h"), errTargetForm)
	f(request("GET http:///x HTTP/1.1", "Host: h"), errTargetForm)
	f(request("GET h:80 HTTP/1.1", "Host: h"), errTargetForm)
	f(request("GET * HTTP/1.1", "Host: h"), errTargetForm)
	f(request("GET x HTTP/1.1", "Host: h"), errTargetForm)
	f(request("GET /a#b HTTP/1.1", "Host: h"), errTarget)
	f(request("GET /a\tb HTTP/1.1", "Host: h"), errTarget)
	f(request("GET /a\x00 HTTP/1.1", "Host: h"), errTarget)

	f(request("GET  / HTTP/1.1", "Host: h"), errRequestLine)
	f(request("GET /  HTTP/1.1", "Host: h"), errRequestLine)
	f(request("GET / HTTP/1.1 ", "Host: h"), errRequestLine)
	f(request("GET / HTTP/2.0", "Host: h"), errRequestLine)
	f(request("GET / HTTP/1.2", "Host: h"), errRequestLine)
	f(request("GET / http/1.1", "Host: h"), errRequestLine)
	f(request("GET /", "Host: h"), errRequestLine)
	f(request("GET\t/ HTTP/1.1", "Host: h"), errRequestLine)
	f(request(" GET / HTTP/1.1", "Host: h"), errRequestLine)
	f(request("G(T / HTTP/1.1", "Host: h"), errMethod)
	f(with("Expect: 200-ok"), errExpectUnknown)
}

func TestRequestRead(t *testing.T) {
	f := func(text string, check func(*Request) bool) {
		t.Helper()
		var parsed Request
		if err := parsed.Parse([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if !check(&parsed) {
			t.Errorf("%q: read as %+v", text, parsed)
		}
	}
	targetIs := func(target string) func(*Request) bool {
		return func(r *Request) bool { return string(r.Target) == target }
	}
	f(request("GET /a//b/../c%2Fd?x=1&y HTTP/1.1", "Host: h"), targetIs("/a//b/../c%2Fd?x=1&y"))
	f(request("GET //x HTTP/1.1", "Host: h"), targetIs("//x"))
	f(request("GET /\xff HTTP/1.1", "Host: h"), targetIs("/\xff"))
	f(request("GET HTTP://H:80/x?y HTTP/1.1", "Host: h"), targetIs("/x?y"))
	f(request("GET https://h HTTP/1.1", "Host: h:443"), targetIs("/"))
	f(request("GET http://[::1]:8080/ HTTP/1.1", "Host: [::1]:8080"), targetIs("/"))
	for _, host := range []string{"h:", "h:65535", "h:080", "[::1]", "[::1]:", "[fe80::1%25en0]:80", "a_b.c-d~", "1.2.3.4:5", "%41", "xn--caf-dma"} {
		f(request("GET / HTTP/1.1", "Host: "+host), func(r *Request) bool { return string(r.Host) == host })
	}
	f(request("OPTIONS * HTTP/1.1", "Host: h"), targetIs("*"))
	f(request("OPTIONS http://h HTTP/1.1", "Host: h"), targetIs("*"))
	f(request("GET /x HTTP/1.0"), targetIs("/x"))
	f(request("CONNECT h:443 HTTP/1.1", "Host: h"), (*Request).IsConnect)

	f(request("POST / HTTP/1.1", "Host: h", "Content-Length: 007"), func(r *Request) bool { return r.HasLength && r.Length == 7 })
	f(request("POST / HTTP/1.1", "Host: h", "tRANSFER-eNCODING: \tChunked "), func(r *Request) bool { return !r.HasLength && r.Length == Chunked })
	f(request("POST / HTTP/1.1", "Host: h"), func(r *Request) bool { return !r.HasLength && r.Length == 0 })
	f(request("POST / HTTP/1.1", "Host: h", "Content-Length: 1", "Expect: 100-Continue"), func(r *Request) bool { return r.Continue })
	f(request("POST / HTTP/1.1", "Host: h", "Content-Length: 0", "Expect: 100-continue"), func(r *Request) bool { return !r.Continue })
	f(request("GET / HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: websocket"), func(r *Request) bool { return string(r.Upgrade) == "websocket" })
	f(request("GET / HTTP/1.1", "Host: h", "Upgrade: websocket"), func(r *Request) bool { return r.Upgrade == nil })

	f(request("GET / HTTP/1.1", "Host: h"), func(r *Request) bool { return r.Persists() })
	f(request("GET / HTTP/1.1", "Host: h", "Connection: foo , close"), func(r *Request) bool { return !r.Persists() && r.Names([]byte("FOO")) })
	f(request("GET / HTTP/1.0", "Host: h"), func(r *Request) bool { return !r.Persists() })
	f(request("GET / HTTP/1.0", "Host: h", "Connection: Keep-Alive"), func(r *Request) bool { return r.Persists() })
}

func TestHopByHop(t *testing.T) {
	var parsed Request
	text := request("GET / HTTP/1.1", "Host: h", "Connection: x-mine, host, , close", "X-Mine: 1", "X_Mine: 2", "Keep-Alive: 5",
		"Proxy-Connection: x", "TE: trailers", "Trailer: X", "Upgrade: h2c", "Proxy-Authorization: x", "Proxy-Authenticate: x",
		"Expect: 100-continue", "Content-Length: 3", "Stead-Key: x", "STEAD_EPOCH: 9", "stead.epoch: 9", "Stead-: 1", "stead_: 1", "Accept: */*", "Stead: y")
	if err := parsed.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for i := range parsed.Fields {
		if !parsed.HopByHop(&parsed.Fields[i]) {
			kept = append(kept, string(parsed.Fields[i].Name))
		}
	}
	if got, want := strings.Join(kept, " "), "Host Accept Stead"; got != want {
		t.Fatalf("forwarded %s, want %s", got, want)
	}
}

func TestHeadLength(t *testing.T) {
	f := func(text string, want int) {
		t.Helper()
		if got := HeadLength([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	f("", 0)
	f("GET / HTTP/1.1\r\n", 0)
	f("GET / HTTP/1.1\r\nA: b\r\n", 0)
	f("GET / HTTP/1.1\r\nA: b\r\n\r", 0)
	f("G\r\nA: b\r\n\r\nbody", 11)
	f("G\n\nbody", 3)
	f("G\n\r\nbody", 4)
}

func BenchmarkParse(b *testing.B) {
	head := []byte(request("GET /kv/some-key?x=1 HTTP/1.1", "Host: example.com:8080", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
		"Accept: text/html,application/xhtml+xml", "Accept-Encoding: gzip, deflate", "Connection: keep-alive", "X-Shard-Key: acme-1234", "Cookie: session=0123456789abcdef"))
	var parsed Request
	b.ReportAllocs()
	for b.Loop() {
		if HeadLength(head) != len(head) || parsed.Parse(head) != nil {
			b.Fatal("not read")
		}
	}
}

func TestSafe(t *testing.T) {
	f := func(method string, want bool) {
		t.Helper()
		request := Request{Method: []byte(method)}
		if got := request.Safe(); got != want {
			t.Errorf("%s: got %v", method, got)
		}
	}
	f("GET", true)
	f("HEAD", true)
	f("PUT", false)
	f("DELETE", false)
	f("POST", false)
	f("get", false)
}

// BenchmarkManyNames is the head that costs most to forward: fields and names of fields, as many as fit.
func BenchmarkManyNames(b *testing.B) {
	head := []byte("GET / HTTP/1.1\r\nHost: h\r\nConnection: " + strings.Repeat("b,", optionsMax) + "\r\n" + strings.Repeat("a:\r\n", 3800) + "\r\n")
	var parsed Request
	for b.Loop() {
		if parsed.Parse(head) != nil {
			b.Fatal("not read")
		}
		for i := range parsed.Fields {
			_ = parsed.HopByHop(&parsed.Fields[i])
		}
	}
}
