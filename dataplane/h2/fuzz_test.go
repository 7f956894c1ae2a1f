package h2

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stead-io/stead/dataplane/wire"
)

// FuzzHead: what a stream becomes is one head and no more; if the parser takes it, it is that stream's method, target and
// fields, and net/http reads it as the same.
func FuzzHead(f *testing.F) {
	f.Add("GET", "/kv/a?b", "h:80", "X-A", "b", "Cookie", "c=d", "", int64(0), "")
	f.Add("POST", "/", "[::1]", "Te", "trailers", "Expect", "", "7", int64(7), "")
	f.Add("PUT", "/a b\r\nHost: c\r\n\r\nGET /d", "h", "Connection", "close", "Host", "h", "", int64(-1), "X-Sum")
	f.Add("OPTIONS", "*", "h", "Transfer_Encoding", "chunked", "Content_Length", "1", "+5", int64(5), "A, B")
	f.Fuzz(func(t *testing.T, method, target, host, name1, value1, name2, value2, said string, length int64, trailer string) {
		r := &http.Request{Method: method, RequestURI: target, Host: host, ContentLength: length, Header: http.Header{}}
		r.Header[name1] = append(r.Header[name1], value1)
		r.Header[name2] = append(r.Header[name2], value2)
		if said != "" {
			r.Header["Content-Length"] = []string{said}
		}
		if trailer != "" {
			r.Trailer = http.Header{trailer: nil}
		}
		head, err := appendHead(nil, r)
		if err != nil {
			return
		}
		if wire.HeadLength(head) != len(head) || bytes.HasPrefix(head, []byte("\r\n")) {
			t.Fatalf("%q is not one head", head)
		}
		var parsed wire.Request
		if parsed.Parse(head) != nil {
			return
		}
		if string(parsed.Method) != method || string(parsed.Target) != target || string(parsed.Host) != host {
			t.Fatalf("%q is %s %s of %s", head, parsed.Method, parsed.Target, parsed.Host)
		}
		if want := max(length, wire.Chunked); parsed.Length != want || len(parsed.Upgrade) > 0 {
			t.Fatalf("%q has a body of %d, want %d", head, parsed.Length, want)
		}
		checkFields(t, r, &parsed)
		if _, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head))); err != nil && strings.Contains(err.Error(), "header") {
			t.Fatalf("%q: %v", head, err)
		}
	})
}

// checkFields compares what was asked with what was parsed: no field is missing, and none was added but what frames.
func checkFields(t *testing.T, r *http.Request, parsed *wire.Request) {
	t.Helper()
	want := map[string][]string{}
	for name, values := range r.Header {
		for _, value := range values {
			want[name] = append(want[name], strings.Trim(value, " \t"))
		}
	}
	got := map[string][]string{}
	for i := range parsed.Fields {
		field := &parsed.Fields[i]
		switch field.Kind {
		case wire.Host, wire.Connection, wire.ContentLength, wire.TransferEncoding, wire.Trailer:
		default:
			got[string(field.Name)] = append(got[string(field.Name)], string(field.Value))
		}
	}
	for name, values := range want {
		switch strings.ToLower(name) {
		case "content-length", "trailer", "host", "te":
			delete(got, "TE")
			continue
		}
		if !slices.Equal(got[name], values) {
			t.Fatalf("%s is %q, want %q", name, got[name], values)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Fatalf("made up: %q", got)
	}
}
