package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/stead-io/stead/dataplane/accesslog"
)

// client asks in HTTP/2, over one connection.
func (s shown) client(t testing.TB) *http.Client {
	t.Helper()
	via := &http.Transport{TLSClientConfig: s.config(), Protocols: new(http.Protocols), DisableCompression: true}
	via.Protocols.SetHTTP2(true)
	t.Cleanup(via.CloseIdleConnections)
	return &http.Client{Transport: via, Timeout: patience}
}

// startHTTP2 starts a proxy that shows a certificate, and a client of it.
func startHTTP2(t *testing.T, script script, edit ...func(*Config)) (*Proxy, *rawNode, *http.Client) {
	t.Helper()
	node, shown := startNode(t, script), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), append(edit, shown.security(t))...)
	return proxy, node, shown.client(t)
}

func request(t testing.TB, proxy *Proxy, method, target string, body io.Reader, fields ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+proxy.Addr()+target, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "")
	r.Host = "h"
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// do sends a request in HTTP/2 and reads its answer.
func do(t testing.TB, client *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.ProtoMajor != 2 {
		t.Errorf("the answer came in %s", response.Proto)
	}
	return response, string(body)
}

// unread hides how long a body is.
type unread struct{ io.Reader }

// TestHTTP2ToHTTP1: what a client asks in HTTP/2 a node gets in HTTP/1.1, octet by octet, and the client its answer.
func TestHTTP2ToHTTP1(t *testing.T) {
	proxy, node, client := startHTTP2(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\nConnection: X-B\r\nX-B: 3\r\n\r\nok"))
	f := func(r *http.Request, want, wantBody string) {
		t.Helper()
		answer, body := do(t, client, r)
		if r.Method != http.MethodHead && body != "ok" || answer.StatusCode != 200 || answer.ContentLength != 2 {
			t.Errorf("got %v %q", answer, body)
		}
		if got := fmt.Sprint(answer.Header); got != "map[Content-Length:[2] X-A:[1 2]]" {
			t.Errorf("the client got %s", got)
		}
		got := node.next(t)
		head, _, _ := strings.Cut(got.raw, "\r\n\r\n")
		if stamped := strings.Index(head, "Stead-Key"); stamped >= 0 {
			head = head[:stamped]
		}
		if head != want || got.body != wantBody {
			t.Errorf("the node got\n%q %q, want\n%q %q", head, got.body, want, wantBody)
		}
	}
	f(request(t, proxy, "GET", "/a//b/../c%2Fd?tenant=f&e", nil), "GET /a//b/../c%2Fd?tenant=f&e HTTP/1.1\r\nHost: h\r\n", "")
	f(request(t, proxy, "GET", "/?tenant=t", nil, "Cookie: a=b; c=d", "X-A: 1", "X-A: 2"), "GET /?tenant=t HTTP/1.1\r\nHost: h\r\nCookie: a=b; c=d\r\nX-A: 1\r\nX-A: 2\r\n", "")
	f(request(t, proxy, "HEAD", "/x", nil, "X-Shard-Key: k"), "HEAD /x HTTP/1.1\r\nHost: h\r\nX-Shard-Key: k\r\n", "")
	f(request(t, proxy, "PUT", "/kv/a", strings.NewReader("body")), "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n", "body")
	f(request(t, proxy, "POST", "/kv/a", nil), "POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n", "")
	f(request(t, proxy, "PUT", "/kv/a", unread{strings.NewReader("body")}), "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n", "body")
	for _, host := range []string{"h:80", "[2001:db8::1]:443"} {
		r := request(t, proxy, "GET", "/kv/a", nil)
		r.Host = host
		f(r, "GET /kv/a HTTP/1.1\r\nHost: "+host+"\r\n", "")
	}
	long := strings.Repeat("long ", 100_000)
	f(request(t, proxy, "PUT", "/kv/a", strings.NewReader(long)), "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n", long)
	f(request(t, proxy, "PUT", "/kv/a", unread{strings.NewReader(long)}), "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n", long)
	f(request(t, proxy, "PUT", "/kv/a", strings.NewReader("body"), "Expect: 100-continue", "TE: trailers"),
		"PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: TE\r\nTE: trailers\r\n", "body")
}

// TestHTTP2Trail: the node hears of the client, its scheme and version; the log too.
func TestHTTP2Trail(t *testing.T) {
	log := t.TempDir() + "/log"
	proxy, node, client := startHTTP2(t, answer(okAnswer), func(c *Config) {
		c.Trail = newTrailConfig()
		c.AccessLog = accesslog.Config{Format: accesslog.Combined, File: log, Sample: 1}
	})
	answer, _ := do(t, client, request(t, proxy, "GET", "/kv/a", nil))
	raw := node.next(t).raw
	for _, want := range []string{"X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "Via: 2 stead-"} {
		if !strings.Contains(raw, want) {
			t.Errorf("the node got %q, without %q", raw, want)
		}
	}
	if id := answer.Header.Get("X-Request-Id"); id == "" || !strings.Contains(raw, id) || answer.Header.Get("Via") != "1.1 stead" {
		t.Errorf("the client got %v", answer.Header)
	}
	until(t, "a line of the log", func() bool { return readFile(t, log) != "" })
	if line := readFile(t, log); !strings.Contains(line, ` HTTP/2.0" 200 2 `) || !strings.HasPrefix(line, "127.0.0.1 ") {
		t.Errorf("logged is %q", line)
	}
}

// TestHTTP2Answers: framing, trailers and interim answers of a node arrive as HTTP/2 has them.
func TestHTTP2Answers(t *testing.T) {
	f := func(octets, want string) {
		t.Helper()
		proxy, _, client := startHTTP2(t, answer(octets))
		var interim []string
		r := request(t, proxy, "GET", "/kv/a", nil)
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				interim = append(interim, fmt.Sprint(code, header))
				return nil
			},
		}))
		answer, body := do(t, client, r)
		if got := fmt.Sprint(interim, answer.StatusCode, answer.Header, body, answer.Trailer); got != want {
			t.Errorf("%q arrives as %s, want %s", octets, got, want)
		}
	}
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n", "[] 200 map[]okmap[X-Sum:[7]]")
	f("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nX-Sum: head\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n",
		"[] 200 map[X-Sum:[head]]map[X-Sum:[7]]")
	f("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nDate: today\r\n\r\n",
		"[103 map[Link:[a]]] 204 map[Date:[today]]map[]")
	f("HTTP/1.0 404 Not Found\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n", "[] 404 map[Content-Length:[0] Content-Type:[a/b]]map[]")
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "[] 304 map[]map[]")
}

// TestHTTP2AnswerCutShort: an answer that broke off is no whole one, whatever its framing.
func TestHTTP2AnswerCutShort(t *testing.T) {
	f := func(octets string) {
		t.Helper()
		proxy, _, client := startHTTP2(t, func(conn net.Conn, _ int, _ received) bool {
			_, _ = io.WriteString(conn, octets)
			return false
		})
		answer, err := client.Do(request(t, proxy, "GET", "/kv/a", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if body, err := io.ReadAll(answer.Body); err == nil {
			t.Errorf("%q arrives as whole: %q", octets, body)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
}

// TestHTTP2Refusals: what the proxy refuses it refuses in HTTP/2 as in HTTP/1.1, and the connection carries on.
func TestHTTP2Refusals(t *testing.T) {
	proxy, node, client := startHTTP2(t, answer(okAnswer), func(c *Config) { c.BodyMax, c.HeadMax = 8, headMaxLeast })
	f := func(r *http.Request, status int, code string) {
		t.Helper()
		answer, body := do(t, client, r)
		if answer.StatusCode != status || answer.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, `"`+code+`"`) {
			t.Errorf("got %v %q, want %d %s", answer, body, status, code)
		}
	}
	f(request(t, proxy, "GET", "/x", nil), 400, "no_key")
	f(request(t, proxy, "PUT", "/kv/a", strings.NewReader("123456789")), 413, "too_large")
	f(request(t, proxy, "PUT", "/kv/a", unread{strings.NewReader(strings.Repeat("x", 100_000))}), 413, "too_large")
	f(request(t, proxy, "GET", "/kv/a", nil, "X-Long: "+strings.Repeat("x", headMaxLeast)), 431, "header_too_large")
	f(request(t, proxy, "GET", "/kv/a", nil, "X-Shard-Key: a", "X-Shard-Key: b"), 400, "bad_key")
	f(request(t, proxy, "GET", "/kv/a", nil, "Expect: more"), 400, "bad_request")
	for len(node.requests) > 0 {
		if got := node.next(t); got.err == nil {
			t.Errorf("the node got %q", got.raw)
		}
	}
	if answer, _ := do(t, client, request(t, proxy, "GET", "/kv/a", nil)); answer.StatusCode != 200 {
		t.Errorf("got %v", answer)
	}
}

// TestHTTP2Early: an answer that comes before the body does ends the upload.
func TestHTTP2Early(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 4<<10)
		if _, err := conn.Read(buffer); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", listener.Addr().String())), shown.security(t))
	stalled, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write(make([]byte, 100)) }()
	answer, body := do(t, shown.client(t), request(t, proxy, "PUT", "/kv/a", stalled))
	if answer.StatusCode != 413 || body != "no" {
		t.Errorf("got %v %q", answer, body)
	}
}

// TestHTTP2Cancelled: a client that gives up a request ends it at the node; its connection carries on.
func TestHTTP2Cancelled(t *testing.T) {
	broken := make(chan error, 1)
	proxy, node, client := startHTTP2(t, func(conn net.Conn, n int, request received) bool {
		if strings.Contains(request.raw, "wait") {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			_, err := conn.Read(make([]byte, 1))
			broken <- err
			return false
		}
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	})
	do(t, client, request(t, proxy, "GET", "/kv/a", nil))
	node.next(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := client.Do(request(t, proxy, "GET", "/kv/a?wait", nil).WithContext(ctx))
		failed <- err
	}()
	node.next(t)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := <-broken; err == nil || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the node saw %v", err)
	}
	if answer, _ := do(t, client, request(t, proxy, "GET", "/kv/a", nil)); answer.StatusCode != 200 || proxy.server.Clients() != 1 {
		t.Errorf("got %v, over %d connections", answer, proxy.server.Clients())
	}
}

// TestHTTP2Slow: a body that stands still is given up, and whoever takes nothing of an answer, without harm to others.
func TestHTTP2Slow(t *testing.T) {
	proxy, _, client := startHTTP2(t, answer(okAnswer), func(c *Config) { c.StreamTimeout = 100 * time.Millisecond })
	stalled, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write([]byte("part")) }()
	answer, body := do(t, client, request(t, proxy, "PUT", "/kv/a", stalled))
	if answer.StatusCode != 408 || !strings.Contains(body, "too_slow") {
		t.Errorf("got %v %q", answer, body)
	}

	endless, _, client := startHTTP2(t, func(conn net.Conn, _ int, _ received) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
		_, _ = conn.Write(make([]byte, 100_000_000))
		return false
	}, func(c *Config) { c.StreamTimeout = 100 * time.Millisecond })
	unread, err := client.Do(request(t, endless, "GET", "/kv/a", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Body.Close()
	until(t, "the end of an answer that nobody reads", func() bool { return endless.metrics.inFlight.Load() == 0 })
}

// TestHTTP2Drain: a proxy that stops says so, finishes what it has begun, and takes nothing more on the connection.
func TestHTTP2Drain(t *testing.T) {
	release := make(chan struct{})
	node, shown := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		<-release
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	}), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t))
	c := newFramed(t, shown, proxy)
	c.ask(1, ":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/kv/a")
	node.next(t)
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		closed <- proxy.Close(ctx)
	}()
	if away := c.await(func(f http2.Frame) bool { _, is := f.(*http2.GoAwayFrame); return is }).(*http2.GoAwayFrame); away.ErrCode != http2.ErrCodeNo {
		t.Errorf("the client was sent away with %v", away.ErrCode)
	}
	close(release)
	if status := c.answer(1); status != "200" {
		t.Errorf("what was under way got %s", status)
	}
	_ = c.conn.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
