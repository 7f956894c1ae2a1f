package dataplane

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is a client that says what it likes, frame by frame.
type framed struct {
	*http2.Framer
	t       testing.TB
	conn    net.Conn
	encoder *hpack.Encoder
	block   bytes.Buffer
}

func newFramed(t testing.TB, shown shown, proxy *Proxy) *framed {
	t.Helper()
	conn := shown.dial(t, proxy, "h2")
	c := &framed{Framer: http2.NewFramer(conn, conn), t: t, conn: conn}
	c.encoder = hpack.NewEncoder(&c.block)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, _ = io.WriteString(conn, http2.ClientPreface)
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends the head of a request without a body: names and values in turn.
func (c *framed) ask(id uint32, fields ...string) {
	c.begin(id, true, fields...)
}

func (c *framed) begin(id uint32, end bool, fields ...string) {
	c.t.Helper()
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		c.t.Fatal(err)
	}
}

// await reads frames until one is wanted.
func (c *framed) await(wanted func(http2.Frame) bool) http2.Frame {
	c.t.Helper()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			c.t.Fatal(err)
		}
		if wanted(frame) {
			return frame
		}
	}
}

// answer is the status of the answer on a stream, or how that was reset.
func (c *framed) answer(id uint32) string {
	c.t.Helper()
	frame := c.await(func(f http2.Frame) bool {
		switch f.(type) {
		case *http2.MetaHeadersFrame, *http2.RSTStreamFrame:
			return f.Header().StreamID == id
		default:
			return false
		}
	})
	if reset, is := frame.(*http2.RSTStreamFrame); is {
		return reset.ErrCode.String()
	}
	return frame.(*http2.MetaHeadersFrame).PseudoValue("status")
}

// TestHTTP2Malformed: whatever would be more than one request in HTTP/1.1, or another, reaches no node.
func TestHTTP2Malformed(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t))
	c := newFramed(t, shown, proxy)
	id := uint32(1)
	f := func(end bool, want string, fields ...string) {
		t.Helper()
		head := map[string]string{":method": "GET", ":scheme": "https", ":authority": "h", ":path": "/kv/a"}
		var rest []string
		for i := 0; i < len(fields); i += 2 {
			if _, pseudo := head[fields[i]]; pseudo {
				head[fields[i]] = fields[i+1]
			} else {
				rest = append(rest, fields[i], fields[i+1])
			}
		}
		all := append([]string{":method", head[":method"], ":scheme", head[":scheme"], ":authority", head[":authority"], ":path", head[":path"]}, rest...)
		c.begin(id, end, all...)
		if got := c.answer(id); got != want {
			t.Errorf("%q gets %s, want %s", fields, got, want)
		}
		id += 2
	}
	f(true, "200")
	node.next(t)
	for _, path := range []string{"/kv/a HTTP/1.1\r\nHost: b\r\n\r\nGET /b", "/kv/a\r\nX: y", "/kv/a\n", "/kv/a\x00", ""} {
		f(true, "PROTOCOL_ERROR", ":path", path)
	}
	f(true, "400", ":path", "/kv/a b")
	f(true, "400", ":path", "/kv/a HTTP/1.1")
	f(true, "PROTOCOL_ERROR", ":path", "/kv/a\tb")
	f(true, "400", ":path", "http://h/kv/a")
	f(true, "400", ":path", "*")
	f(true, "400", ":method", "GET /kv/b")
	f(true, "PROTOCOL_ERROR", ":authority", "u@h")
	f(true, "400", ":authority", "h/x")
	f(true, "PROTOCOL_ERROR", ":scheme", "gopher")
	f(true, "PROTOCOL_ERROR", "x-a", "b\r\nX-Shard-Key: c")
	f(true, "PROTOCOL_ERROR", "X-A", "b")
	f(true, "PROTOCOL_ERROR", "x a", "b")
	for _, field := range []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"} {
		f(true, "400", field, "x")
		f(false, "400", field, "chunked")
	}
	f(true, "400", "transfer_encoding", "chunked")
	f(true, "400", "content_length", "5")
	f(true, "400", "te", "gzip")
	f(true, "400", "host", "other")
	f(true, "400", "content-length", "5")
	f(false, "400", "content-length", "5", "content-length", "5")
	f(false, "400", "content-length", "5,5")
	f(false, "400", "content-length", "+5")
	c.begin(id, true, ":method", "CONNECT", ":authority", "h:80")
	if got := c.answer(id); got != "501" {
		t.Errorf("CONNECT gets %s", got)
	}
	node.none(t)
}

// TestHTTP2LengthDiffers: a body that is shorter or longer than was said is cut short for the node.
func TestHTTP2LengthDiffers(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t))
	c := newFramed(t, shown, proxy)
	f := func(id uint32, said string, data ...string) {
		t.Helper()
		c.begin(id, false, ":method", "PUT", ":scheme", "https", ":authority", "h", ":path", "/kv/a", "content-length", said)
		for i, piece := range data {
			_ = c.WriteData(id, i == len(data)-1, []byte(piece))
		}
		if got := c.answer(id); got == "200" {
			t.Errorf("%s for %q gets %s", said, data, got)
		}
	}
	f(1, "5", "four")
	f(3, "3", "four")
	f(5, "100000", strings.Repeat("x", 10_000), "end")
	for len(node.requests) > 0 {
		if got := node.next(t); got.err == nil {
			t.Errorf("the node got %q whole", got.raw)
		}
	}
}

// TestHTTP2Crowd: requests on one connection count as clients do; each of those beyond the limit is told so.
func TestHTTP2Crowd(t *testing.T) {
	release := make(chan struct{})
	node, shown := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		<-release
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	}), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t), func(c *Config) { c.Connections = 2 })
	c := newFramed(t, shown, proxy)
	head := []string{":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/kv/a"}
	for _, id := range []uint32{1, 3} {
		c.ask(id, head...)
		node.next(t)
	}
	c.ask(5, head...)
	if got := c.answer(5); got != "503" {
		t.Errorf("one too many gets %s", got)
	}
	if got, err := io.ReadAll(dial(t, proxy)); len(got) > 0 {
		t.Errorf("another client gets %q, %v", got, err)
	}
	close(release)
	for range 2 {
		c.await(func(f http2.Frame) bool { _, is := f.(*http2.MetaHeadersFrame); return is })
	}
	until(t, "the end of what was under way", func() bool { return proxy.metrics.inFlight.Load() == 0 })
	c.ask(7, head...)
	if got := c.answer(7); got != "200" {
		t.Errorf("who comes then gets %s", got)
	}
}

// TestHTTP2FromOneAddress: the next connection of an address that has enough is told so, in the answer to its request.
func TestHTTP2FromOneAddress(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t), func(c *Config) { c.ConnectionsPerAddress = 1 })
	shown.dial(t, proxy, "h2")
	answer, body := do(t, shown.client(t), request(t, proxy, "GET", "/kv/a", nil))
	if answer.StatusCode != 503 || !strings.Contains(body, "too_many_connections") {
		t.Errorf("got %v %q", answer, body)
	}
	until(t, "the end of the connection too many", func() bool { return proxy.server.Clients() == 1 })
}

// TestHTTP2ResetsInARow: a client that resets its requests faster than they end is sent away. They are for a node that is
// not reached, for which they wait a while.
func TestHTTP2ResetsInARow(t *testing.T) {
	address, _ := gate(t)
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), shown.security(t))
	c := newFramed(t, shown, proxy)
	go func() {
		for id := uint32(1); id < 3_000; id += 2 {
			c.block.Reset()
			for _, field := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: "/kv/a"}} {
				_ = c.encoder.WriteField(field)
			}
			if c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true}) != nil ||
				c.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}()
	if away := c.await(func(f http2.Frame) bool { _, is := f.(*http2.GoAwayFrame); return is }).(*http2.GoAwayFrame); away.ErrCode != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("the client was sent away with %v", away.ErrCode)
	}
	until(t, "the end of the client's requests", func() bool { return proxy.metrics.inFlight.Load() == 0 })
}
