package forward

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/stead-io/stead/dataplane/origin"
	"github.com/stead-io/stead/dataplane/wire"
)

// dashed is how a server reads a field's name that takes every mark for '-'.
func dashed(c rune) rune {
	if '0' <= c && c <= '9' || 'a' <= c && c <= 'z' {
		return c
	}
	return '-'
}

// FuzzAppendRequest: whatever is forwarded, net/http and fasthttp read as the same single request,
// with the proxy's stamp and word of its origin and no other, and nothing left over.
func FuzzAppendRequest(f *testing.F) {
	f.Add([]byte("GET /a?b HTTP/1.1\r\nHost: h\r\nConnection: x\r\nX: 1\r\nStead-Key: evil\r\n\r\n"), []byte("k"))
	f.Add([]byte("POST http://h/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"), []byte{0, 255})
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 1\r\nX-Forwarded-: 1\r\nForwarded: for=x\r\nx-real_ip: 1\r\n\r\n"), []byte("k"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\nStead-: 1\r\nX-Forwarded-: 1\r\n\r\n"), []byte("k"))
	f.Add([]byte("PUT / HTTP/1.0\r\nContent-Length: 3\r\nKeep-Alive: 1\r\n\r\n"), []byte("\r\n"))
	f.Fuzz(func(t *testing.T, data, key []byte) {
		length := wire.HeadLength(data)
		var request wire.Request
		if length == 0 || request.Parse(data[:length]) != nil || request.IsConnect() || len(key) == 0 {
			return
		}
		if _, err := url.ParseRequestURI(string(request.Target)); err != nil && string(request.Target) != "*" {
			return
		}
		head := AppendRequest(nil, &request, "127.0.0.1:1", Stamp{
			Key: key, Slot: 3, Epoch: 4, Trail: []byte("X-Forwarded-For: 192.0.2.7\r\n"), Dropped: origin.Fields{}.Dropped(false),
		}, false)
		if wire.HeadLength(head) != len(head) {
			t.Fatalf("%q is not one head", head)
		}
		body := strings.Repeat("x", int(min(max(request.Length, 0), 64)))
		if request.Length > 64 {
			return
		}
		if request.Length == wire.Chunked {
			body = "1\r\nx\r\n0\r\n\r\n"
		}
		const next = "NEXT"
		reader := bufio.NewReader(strings.NewReader(string(head) + body + next))
		theirs, err := http.ReadRequest(reader)
		if err != nil {
			if strings.Contains(err.Error(), "malformed Host") {
				return
			}
			t.Fatalf("%q in net/http: %v", head, err)
		}
		if _, err := io.Copy(io.Discard, theirs.Body); err != nil {
			t.Fatalf("%q: body in net/http: %v", head, err)
		}
		if rest, _ := io.ReadAll(reader); string(rest) != next {
			t.Fatalf("%q leaves %q in net/http", head, rest)
		}
		stamps, claims := 0, 0
		for name, values := range theirs.Header {
			name = strings.Map(dashed, strings.ToLower(name))
			if strings.HasPrefix(name, "stead-") {
				stamps += len(values)
			}
			if strings.HasPrefix(name, "x-forwarded") || name == "forwarded" || name == "x-real-ip" {
				claims += len(values)
			}
		}
		if claims != 1 || theirs.Header.Get("X-Forwarded-For") != "192.0.2.7" {
			t.Fatalf("%q tells of %d origins", head, claims)
		}
		connection := ""
		if request.TakesTrailers {
			connection = "TE"
		}
		if stamps != 3 || theirs.Header.Get("Stead-Slot") != "3" || theirs.Header.Get("Connection") != connection {
			t.Fatalf("%q carries %v", head, theirs.Header)
		}
		var fast fasthttp.RequestHeader
		if err := fast.Read(bufio.NewReaderSize(bytes.NewReader(head), len(head)+16)); err != nil {
			if theirs.Header.Get("Trailer") == "" {
				t.Fatalf("%q in fasthttp: %v", head, err)
			}
			return
		}
		if string(fast.Method()) != theirs.Method || string(fast.RequestURI()) != string(request.Target) ||
			theirs.ContentLength >= 0 && request.HasLength && int64(fast.ContentLength()) != theirs.ContentLength {
			t.Fatalf("%q: fasthttp reads %s", head, fast.String())
		}
	})
}
