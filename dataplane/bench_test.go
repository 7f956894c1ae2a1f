package dataplane

import (
	"io"
	"net"
	"strings"
	"testing"
)

// BenchmarkRequest is one small request and its answer through the proxy, over one connection on
// either side. Client and node allocate nothing, so that what is counted is the proxy's.
func BenchmarkRequest(b *testing.B) {
	for name, body := range map[string]string{"GET": "", "PUT": strings.Repeat("x", 512)} {
		b.Run(name, func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 64\r\n\r\n" + strings.Repeat("y", 64))
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer func() { _ = conn.Close() }()
				for buffer := make([]byte, 16<<10); ; {
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
			proxy, _ := start(b, ringOf(b, 1, 1, up("n1", listener.Addr().String())))
			conn, err := net.Dial("tcp", proxy.Addr())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			request := "GET /some/path HTTP/1.1\r\n"
			if body != "" {
				request = "PUT /some/path HTTP/1.1\r\nContent-Length: 512\r\n"
			}
			octets := []byte(request + "Host: example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nX-Shard-Key: tenant-1234\r\n\r\n" + body)
			got := make([]byte, len(answer))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(octets); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
