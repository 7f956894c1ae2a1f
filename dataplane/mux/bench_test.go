package mux

import (
	"testing"
	"time"

	"github.com/stead-io/stead/api/frames"
)

// BenchmarkRequest is one short request and its answer, over one connection. The node allocates nothing, so that
// what is counted is the proxy's.
func BenchmarkRequest(b *testing.B) {
	head, body := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\n\r\n"), make([]byte, 64)
	n := startNode(b, limits, func(p *peer) {
		var out []byte
		_ = p.SetDeadline(time.Time{})
		for f, ok := p.head(); ok; f, ok = p.head() {
			out = frames.AppendHead(out[:0], f.Stream, frames.End, head, body)
			p.send(out)
		}
	})
	transport, to, fallback := connected(b, n)
	r := get()
	b.ReportAllocs()
	for b.Loop() {
		r.Deadline = time.Now().Add(patience)
		answer, err := transport.Send(to, r)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = answer.Next()
		}
		answer.Close()
	}
	if fallback.count() > 0 {
		b.Error("it went elsewhere")
	}
}
