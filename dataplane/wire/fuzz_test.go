package wire

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// FuzzRequest: whatever passes, net/http reads as the same request with the same framing.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(request("GET /a%2Fb?c HTTP/1.1", "Host: h", "X-Shard-Key: a", "Connection: close, x")))
	f.Add([]byte(request("POST http://h:80/ HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Expect: 100-continue")))
	f.Add([]byte(request("PUT / HTTP/1.0", "Content-Length: 12", "A_b:\tc")))
	f.Add([]byte(request("OPTIONS * HTTP/1.1", "Host: [::1]:80")))
	f.Fuzz(func(t *testing.T, data []byte) {
		length := HeadLength(data)
		if length == 0 {
			return
		}
		head := data[:length]
		var ours Request
		if ours.Parse(head) != nil || ours.IsConnect() {
			return
		}
		raw, _, _ := bytes.Cut(head[len(ours.Method)+1:], []byte{' '})
		if _, err := url.ParseRequestURI(string(raw)); err != nil {
			return // a target that net/http finds no URL in, "%zz" for one; the node says so
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			if strings.Contains(err.Error(), "malformed Host") {
				return
			}
			t.Fatalf("%q passes here, in net/http: %v", head, err)
		}
		if theirs.Method != string(ours.Method) || theirs.ProtoMinor != ours.Minor {
			t.Fatalf("%q: %s HTTP/1.%d here, %s %s in net/http", head, ours.Method, ours.Minor, theirs.Method, theirs.Proto)
		}
		chunked := len(theirs.TransferEncoding) == 1
		if chunked != (ours.Length == Chunked) || !chunked && theirs.ContentLength != ours.Length {
			t.Fatalf("%q: length %d here, %d %v in net/http", head, ours.Length, theirs.ContentLength, theirs.TransferEncoding)
		}
		if host := string(ours.Host); host != "" && !strings.EqualFold(theirs.Host, host) && ours.authority == nil {
			t.Fatalf("%q: host %q here, %q in net/http", head, host, theirs.Host)
		}
		for i := range ours.Fields {
			field := &ours.Fields[i]
			if field.Kind == Other && !containsValue(theirs.Header.Values(string(field.Name)), string(field.Value)) {
				t.Fatalf("%q: %s is %q here, %q in net/http", head, field.Name, field.Value, theirs.Header)
			}
		}
	})
}

func containsValue(values []string, want string) bool {
	for _, value := range values {
		if value == want {
			return true
		}
	}
	return false
}

// FuzzAnswer: whatever passes, net/http reads as the same answer with the same framing.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(request("HTTP/1.1 200 OK", "Content-Length: 5", "A: b")))
	f.Add([]byte(request("HTTP/1.0 404 Not Found", "Connection: keep-alive")))
	f.Add([]byte(request("HTTP/1.1 200", "Transfer-Encoding: chunked")))
	f.Fuzz(func(t *testing.T, data []byte) {
		length := HeadLength(data)
		if length == 0 {
			return
		}
		head := data[:length]
		var ours Answer
		if ours.Parse(head) != nil {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
		if err != nil {
			t.Fatalf("%q passes here, in net/http: %v", head, err)
		}
		if theirs.StatusCode != ours.Status || theirs.ProtoMinor != ours.Minor {
			t.Fatalf("%q: status %d here, %s in net/http", head, ours.Status, theirs.Status)
		}
		if ours.Length > 0 && theirs.Header.Get("Content-Length") != "" && strconv.FormatInt(theirs.ContentLength, 10) != strconv.FormatInt(ours.Length, 10) {
			t.Fatalf("%q: length %d here, %d in net/http", head, ours.Length, theirs.ContentLength)
		}
		if chunked := len(theirs.TransferEncoding) == 1; chunked != (ours.Length == Chunked) && ours.Length != 0 {
			t.Fatalf("%q: length %d here, %v in net/http", head, ours.Length, theirs.TransferEncoding)
		}
	})
}
