package dataplane

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api/frames"
	"github.com/stead-io/stead/dataplane/accesslog"
)

// leanCase is a request and its answer, as most are: what the proxy does for it is the hot path.
type leanCase struct {
	name    string
	request string
	size    int // octets of the answer's body
	edit    func(*Config)
}

const leanFields = "Host: example.com\r\nUser-Agent: test/1.0\r\nAccept: */*\r\nX-Shard-Key: tenant-1234\r\n"

// leanCases are requests to nodes of HTTP/1.1, and to nodes that speak stead-mux.
func leanCases() (all []leanCase) {
	for _, upstream := range []struct{ name, mux string }{{"HTTP/1.1", MuxOff}, {"mux", MuxAuto}} {
		f := func(name, request string, size int, edit func(*Config)) {
			all = append(all, leanCase{upstream.name + " " + name, request, size, func(c *Config) {
				defaults(c)
				c.Mux, c.MuxConnections = upstream.mux, 1
				edit(c)
			}})
		}
		get, plain := "GET /some/path HTTP/1.1\r\n"+leanFields+"\r\n", func(*Config) {}
		f("GET", get, 64, plain)
		f("GET of 64 KiB", get, 64<<10, plain)
		f("PUT", "PUT /some/path HTTP/1.1\r\n"+leanFields+"Content-Length: 512\r\n\r\n"+strings.Repeat("x", 512), 64, plain)
		f("GET, logged", get, 64, func(c *Config) { c.AccessLog.Format, c.AccessLog.Output = accesslog.JSON, io.Discard })
		f("GET, in a trace", "GET /some/path HTTP/1.1\r\n"+leanFields+traced+"tracestate: a=1\r\n\r\n", 64, plain)
		f("GET, not recorded", get, 64, func(c *Config) { c.Tracing.Collector, c.Tracing.Sample = "http://127.0.0.1:1", 0 })
	}
	return all
}

// leanPath is a client's connection to a proxy with one node. Client and node allocate nothing, so that what is counted
// is the proxy's.
type leanPath struct {
	t       testing.TB
	proxy   *Proxy
	conn    net.Conn
	request []byte
	got     []byte // an answer: they are all as long
}

// open takes the path until nothing on it is new any more.
func (l leanCase) open(t testing.TB) *leanPath {
	t.Helper()
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", startLean(t, l.size))), l.edit)
	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &leanPath{t: t, proxy: proxy, conn: conn, request: []byte(l.request)}
	p.got = p.first(l.size)
	for deadline := time.Now().Add(patience); p.muxed() == 0 && proxy.muxed != nil; p.ask() {
		if time.Now().After(deadline) {
			t.Fatal("no request went by mux")
		}
	}
	for range 100 {
		p.ask()
	}
	return p
}

// first asks for an answer whose head may be of any length.
func (p *leanPath) first(size int) []byte {
	p.t.Helper()
	_ = p.conn.SetDeadline(time.Now().Add(patience))
	if _, err := p.conn.Write(p.request); err != nil {
		p.t.Fatal(err)
	}
	got, n, head := make([]byte, 4<<10+size), 0, -1
	for head < 0 || n < head+4+size {
		more, err := p.conn.Read(got[n:])
		if err != nil {
			p.t.Fatal(err)
		}
		n += more
		head = bytes.Index(got[:n], []byte("\r\n\r\n"))
	}
	_ = p.conn.SetDeadline(time.Time{})
	return got[:n]
}

func (p *leanPath) ask() {
	if _, err := p.conn.Write(p.request); err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.ReadFull(p.conn, p.got); err != nil {
		p.t.Fatal(err)
	}
}

// muxed is how many requests went by stead-mux.
func (p *leanPath) muxed() uint64 {
	if p.proxy.muxed == nil {
		return 0
	}
	return p.proxy.muxed.Stats.Requests.Load()
}

// startLean starts a node that answers everything with so many octets, in HTTP/1.1 and, where it is offered, by stead-mux.
func startLean(t testing.TB, size int) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n"
	node := leanNode{head: []byte(head), body: bytes.Repeat([]byte("y"), size)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go node.serve(conn)
		}
	}()
	return listener.Addr().String()
}

type leanNode struct{ head, body []byte }

// serve answers whatever comes at once: no request is longer.
func (n leanNode) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	answer := append(bytes.Clone(n.head), n.body...)
	for buffer := make([]byte, 16<<10); ; {
		read, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:read], []byte("Upgrade: "+frames.Protocol)) {
			n.serveStreams(conn)
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// serveStreams answers each stream when its request has ended. No body is longer than what may be sent unasked.
func (n leanNode) serveStreams(conn net.Conn) {
	out := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + frames.Protocol + "\r\n\r\n")
	out = frames.AppendHello(out, frames.Limits{Streams: 100, Window: frames.WindowLeast})
	piece := min(len(n.body), frames.PieceMax)
	for reader := frames.NewReader(conn, nil); ; {
		if _, err := conn.Write(out); err != nil {
			return
		}
		out = out[:0]
		frame, err := reader.Next()
		if err != nil {
			return
		}
		if frame.Type != frames.TypeHead && frame.Type != frames.TypeData || !frame.Ends() {
			continue
		}
		if piece == len(n.body) {
			out = frames.AppendHead(out, frame.Stream, frames.End, n.head, n.body)
			continue
		}
		out = frames.AppendHead(out, frame.Stream, 0, n.head, n.body[:piece])
		out = frames.AppendData(out, frame.Stream, frames.End, n.body[piece:])
	}
}
