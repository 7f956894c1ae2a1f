package dataplane

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/nodesvc"
)

// twoWays are two proxies before one node that runs the SDK: one reaches it by stead-mux, one by HTTP/1.1.
type twoWays struct {
	mux, http *Proxy
	seen      chan string // what the node's handler saw of each request, if it says so
}

// startTwoWays has the node answer as its handler does.
func startTwoWays(t *testing.T, handler http.HandlerFunc, edit ...func(*Config)) *twoWays {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := nodesvc.NewServer(handler, discard)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	view := ringOf(t, 1, 1, up("n1", listener.Addr().String()))
	ways := new(twoWays)
	ways.mux, _ = start(t, view, append(edit, auto)...)
	ways.http, _ = start(t, view, edit...)
	meet(t, ways.mux)
	return ways
}

// each runs a test by either way, and makes sure that the first does go by mux.
func (w *twoWays) each(t *testing.T, test func(t *testing.T, proxy *Proxy)) {
	t.Run("mux", func(t *testing.T) {
		before := w.mux.muxed.Stats.Requests.Load()
		test(t, w.mux)
		if w.mux.muxed.Stats.Requests.Load() == before {
			t.Error("nothing went by mux")
		}
	})
	t.Run("http", func(t *testing.T) { test(t, w.http) })
}

// converse sends octets, each part once the head of an answer to the one before is there, and another request that
// ends the connection; it returns all that comes.
func converse(t *testing.T, proxy *Proxy, parts ...string) string {
	t.Helper()
	conn := dial(t, proxy)
	defer func() { _ = conn.Close() }()
	var got bytes.Buffer
	for _, part := range parts[:len(parts)-1] {
		_, _ = io.WriteString(conn, part)
		for octet := make([]byte, 1); !bytes.HasSuffix(got.Bytes(), []byte("\r\n\r\n")); got.Write(octet) {
			if _, err := io.ReadFull(conn, octet); err != nil {
				t.Fatalf("%q, then %v", got.String(), err)
			}
		}
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = io.WriteString(conn, parts[len(parts)-1]+"GET /kv/last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	})
	_, err := io.Copy(&got, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Errorf("the connection stays open after %q", got.String())
	}
	_ = conn.Close()
	sending.Wait()
	return got.String()
}

// dates differ, and so do the pieces that a body comes in.
var dates = regexp.MustCompile(`Date: [^\r]*`)

// read shows answers, head by head as it came, with their bodies put together.
func read(octets, method string) string {
	var shown strings.Builder
	for len(octets) > 0 {
		source := strings.NewReader(octets)
		buffered := bufio.NewReader(source)
		answer, err := http.ReadResponse(buffered, &http.Request{Method: method})
		if err != nil {
			fmt.Fprintf(&shown, "%v in %q", err, octets)
			break
		}
		head, _, _ := strings.Cut(octets, "\r\n\r\n")
		body, err := io.ReadAll(answer.Body)
		fmt.Fprintf(&shown, "%s\n-> %d octets %.80q %v %v\n", dates.ReplaceAllString(head, "Date: then"), len(body), body, err, answer.Trailer)
		octets = octets[len(octets)-source.Len()-buffered.Buffered():]
		if answer.StatusCode >= 200 {
			method = http.MethodGet // of the last request
		}
	}
	return shown.String()
}

// saw shows what a handler sees of a request and its body.
func saw(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	fields := make([]string, 0, len(r.Header))
	for name, values := range r.Header {
		fields = append(fields, fmt.Sprintf("%s: %.80q", name, values))
	}
	slices.Sort(fields)
	shown := fmt.Sprintf("%s %s %s for %s from %s, %v; length %d, %v, close %v, TLS %v, trailer %v\n%s\n", r.Method, r.RequestURI, r.Proto, r.Host, host, err,
		r.ContentLength, r.TransferEncoding, r.Close, r.TLS != nil, r.Trailer, strings.Join(fields, "\n"))
	body, err := io.ReadAll(r.Body)
	return shown + fmt.Sprintf("-> %d octets %.80q %v %v\n", len(body), body, err, r.Trailer)
}

// same compares what client and handler get of a request by the two ways.
func (w *twoWays) same(t *testing.T, name string, parts ...string) {
	t.Helper()
	for len(w.seen) > 0 {
		<-w.seen
	}
	method, _, _ := strings.Cut(parts[0], " ")
	before := w.mux.muxed.Stats.Requests.Load()
	var client, node [2]string
	for i, proxy := range []*Proxy{w.http, w.mux} {
		client[i] = read(converse(t, proxy, parts...), method)
		for len(w.seen) > 0 {
			node[i] += <-w.seen
		}
	}
	converse(t, w.http, "") // what the node closes behind its answer without a word has no request that runs once at most sent into it
	if connects := w.http.nodes.Stats.Connects.Load(); w.mux.muxed.Stats.Requests.Load() == before || connects == 0 {
		t.Errorf("%s: it did not go both ways", name)
	}
	if client[0] != client[1] {
		t.Errorf("%s: by HTTP/1.1 the client got\n%s\nand by mux\n%s", name, client[0], client[1])
	}
	if node[0] != node[1] {
		t.Errorf("%s: by HTTP/1.1 the handler saw\n%s\nand by mux\n%s", name, node[0], node[1])
	}
}

// TestSameRequests: a handler sees the same of a request by either way.
func TestSameRequests(t *testing.T) {
	seen := make(chan string, 1024)
	ways := startTwoWays(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- saw(r)
		_, _ = io.WriteString(w, "ok")
	})
	ways.seen = seen
	f := func(parts ...string) {
		t.Helper()
		line, _, _ := strings.Cut(parts[0], "\r\n")
		ways.same(t, line, parts...)
	}
	const fields = " HTTP/1.1\r\nHost: example.com:80\r\n"
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "x-any!"} {
		f(method + " /kv/a" + fields + "\r\n")
		f(method + " /kv/a" + fields + "Content-Length: 5\r\n\r\nhello")
	}
	f("OPTIONS *" + fields + "X-Shard-Key: k\r\n\r\n")
	f("GET /kv/a//b/../c%2Fd?x=%zz&y;z=\xff" + fields + "X-Shard-Key: k\r\n\r\n")
	f("GET /a" + fields + "x-shard-key: k\r\nX-A: 1\r\nx-a:2\r\nX-B: b\r\nX-A:  3 \t\r\nCookie: a=b\r\nCookie: c=d\r\nX-Odd:\t a \xff\"\r\nX-Empty:\r\n\r\n")
	f("GET http://example.com/kv/a?b=c HTTP/1.1\r\nHost: example.com\r\n\r\n")
	f("GET /kv/a" + fields + "Connection: close\r\n\r\n")
	f("GET /kv/a" + fields + "Connection: x-mine, TE, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\nProxy-Authorization: x\r\nTrailer: X\r\n\r\n")
	f("GET /kv/a" + fields + "Pragma: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("GET /kv/a HTTP/1.0\r\n\r\n")
	f("POST /kv/a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
	f("GET /kv/a" + fields + "X-Long: " + strings.Repeat("l", 15<<10) + "\r\n\r\n")
	f("GET /kv/a" + fields + strings.Repeat("X-Many: m\r\n", 1000) + "\r\n")
	for _, size := range []int{0, 1, 64 << 10, 2 << 20} {
		body := strings.Repeat("b", size)
		f(fmt.Sprintf("PUT /kv/length%sContent-Length: %d\r\n\r\n%s", fields, size, body))
		chunk := ""
		if size > 0 {
			chunk = fmt.Sprintf("%x;ext\r\n%s\r\n", size, body)
		}
		f("PUT /kv/chunked" + fields + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n")
		f("PUT /kv/trailed" + fields + "Trailer: X-Sum, x-none\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\nX-Sum: 1\r\nX-Sum: 2\r\nX-More: 3\r\n\r\n")
		if size > 0 {
			f(fmt.Sprintf("PUT /kv/expect%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", fields, size), body)
		}
	}
}

// TestSameAnswers: a client gets the same of an answer by either way.
func TestSameAnswers(t *testing.T) {
	handlers := answering()
	ways := startTwoWays(t, func(w http.ResponseWriter, r *http.Request) {
		if handle := handlers[r.URL.Query().Get("do")]; handle != nil {
			handle(w, r)
			return
		}
		_, _ = io.WriteString(w, "ok")
	})
	for _, do := range slices.Sorted(maps.Keys(handlers)) {
		for _, request := range []string{
			"POST /kv/a?do=" + do + " HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
			"POST /kv/a?do=" + do + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			"POST /kv/a?do=" + do + " HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
			"HEAD /kv/a?do=" + do + " HTTP/1.1\r\nHost: h\r\n\r\n",
		} {
			if strings.HasPrefix(do, "panic") && strings.HasPrefix(request, "HEAD") {
				continue // a safe request is sent twice by HTTP/1.1: what it comes to is the same
			}
			line, _, _ := strings.Cut(request, "\r\n")
			ways.same(t, line, request)
		}
	}
}

// answering are handlers by what they do.
func answering() map[string]http.HandlerFunc {
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
	write := func(w http.ResponseWriter, octets int) { _, _ = w.Write(bytes.Repeat([]byte("y"), octets)) }
	with := func(status int, body string, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(fields); i += 2 {
				w.Header().Add(fields[i], fields[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	return map[string]http.HandlerFunc{
		"nothing":     func(http.ResponseWriter, *http.Request) {},
		"empty-write": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) },
		"long":        func(w http.ResponseWriter, _ *http.Request) { write(w, 300_000) },
		"pieces": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, " ")
			for range 10 {
				_, _ = io.WriteString(w, "<html>"+strings.Repeat("p", 5000))
			}
		},
		"flushed": func(w http.ResponseWriter, _ *http.Request) {
			write(w, 10)
			flush(w)
			write(w, 10)
		},
		"flushed-first": func(w http.ResponseWriter, _ *http.Request) {
			flush(w)
			w.Header().Set("X-Late", "1")
			write(w, 10)
		},
		"html":      with(200, "<html>short"),
		"no-sniff":  with(200, "<html>short", "Content-Encoding", "x"),
		"no-type":   func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil; write(w, 10) },
		"no-date":   func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil; write(w, 10) },
		"length":    with(200, "hello", "Content-Length", "5"),
		"length-64": with(200, strings.Repeat("x", 64<<10), "Content-Length", "65536"),
		"overrun": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "ok")
			if _, err := io.WriteString(w, "more"); err != http.ErrContentLength {
				panic(fmt.Sprint("more is written: ", err))
			}
		},
		"short-and-flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "short")
			flush(w)
		},
		"plus-length": with(200, "hello", "Content-Length", "+5"),
		"two-lengths": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"2", "2"}
			write(w, 2)
		},
		"204":      with(204, "body", "Content-Length", "4", "X-A", "b", "Content-Type", "text/x", "Etag", "e"),
		"205":      with(205, ""),
		"304":      with(304, "body", "Content-Length", "4", "X-A", "b", "Content-Type", "text/x", "Etag", "e"),
		"299":      with(299, "fine"),
		"404":      func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"599":      with(599, "own"),
		"600":      with(600, "own"),
		"101":      with(101, ""),
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/kv/b", http.StatusFound) },
		"103": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "<a>")
			w.WriteHeader(103)
			w.WriteHeader(200)
		},
		"100":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(100); w.WriteHeader(200) },
		"twice":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); w.WriteHeader(500) },
		"equal":              with(200, "ok", "Set-Cookie", "a=1", "X-A", "1", "Set-Cookie", "b=2", "X-A", "2"),
		"injected":           with(200, "ok", "X-A", "b\r\nX-Evil: 1", "bad name", "x", "Stead-Epoch", "7"),
		"close":              with(200, "ok", "Connection", "close"),
		"hop":                with(200, "ok", "Connection", "x-mine, keep-alive", "X-Mine", "1", "X-Kept", "1", "Keep-Alive", "timeout=5", "Te", "x", "Proxy-Connection", "x", "Upgrade", "h2c"),
		"identity":           with(200, "ok", "Transfer-Encoding", "identity"),
		"chunked":            with(200, "ok", "Transfer-Encoding", "chunked"),
		"chunked-and-length": with(200, "ok", "Transfer-Encoding", "chunked", "Content-Length", "2"),
		"trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			write(w, 10)
			w.Header().Set("X-Sum", "1")
			w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		},
		"head-30": with(200, "ok", "X-Long", strings.Repeat("l", 30<<10)),
		"head-40": with(200, "ok", "X-Long", strings.Repeat("l", 40<<10)),
		"head-90": with(200, "ok", "X-Long", strings.Repeat("l", 90<<10)),
		"reads-late": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			write(w, 3)
			flush(w)
			_, _ = io.Copy(w, r.Body)
		},
		"panic-abort": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"panic-other": func(http.ResponseWriter, *http.Request) { panic("other") },
		"panic-written": func(w http.ResponseWriter, _ *http.Request) {
			write(w, 100)
			panic(http.ErrAbortHandler)
		},
		"panic-flushed": func(w http.ResponseWriter, _ *http.Request) {
			write(w, 100)
			flush(w)
			panic(http.ErrAbortHandler)
		},
		"deadline": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour))
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
			_, _ = io.Copy(w, r.Body)
		},
	}
}
