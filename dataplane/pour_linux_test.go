//go:build linux && (amd64 || arm64)

package dataplane

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/accesslog"
)

// someOctets are not the same anywhere.
func someOctets(size int) []byte {
	octets := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(octets)
	return octets
}

func lengthHead(size int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
}

// TestPoured: long bodies go from socket to socket, whole, and both connections go on; short ones and others are
// copied.
func TestPoured(t *testing.T) {
	octets := someOctets(3 << 20)
	node := startNode(t, func(conn net.Conn, n int, request received) bool {
		var size int
		_, _ = fmt.Sscanf(request.raw, "GET /kv/%d", &size)
		head, body := lengthHead(size), octets[:size]
		if strings.Contains(request.raw, "?chunks") {
			head, body = fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", size), append(body[:size:size], "\r\n0\r\n\r\n"...)
		}
		if n%2 == 0 { // the body comes with the head, or after it
			_, err := conn.Write(append([]byte(head), body...))
			return err == nil
		}
		_, _ = io.WriteString(conn, head)
		_, err := conn.Write(body)
		return err == nil
	})
	path, edit := logged(t, accesslog.JSON)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), edit)
	conn := dial(t, proxy)
	answers := bufio.NewReader(conn)
	f := func(size int, query string, wantPoured bool) {
		t.Helper()
		before := proxy.pipes.Octets.Load()
		_, _ = fmt.Fprintf(conn, "GET /kv/%d%s HTTP/1.1\r\nHost: h\r\n\r\n", size, query)
		if _, body := readAnswer(t, answers); body != string(octets[:size]) {
			t.Fatalf("%d octets: others came, %d", size, len(body))
		}
		if poured := proxy.pipes.Octets.Load() - before; (poured > 0) != wantPoured || poured > uint64(size) {
			t.Errorf("%d octets%s: %d were poured", size, query, poured)
		}
	}
	for range 2 {
		f(pourMin-1, "", false)
		f(pourMin, "", true)
		f(3<<20, "", true)
		f(3<<20, "?chunks", false)
		f(1, "", false)
	}
	if got := node.connections(); got != 1 {
		t.Errorf("%d connections to the node", got)
	}
	const asked = 10
	want := fmt.Sprintf(`"octets_out":%d,`, len(lengthHead(3<<20))+(3<<20))
	if logged := strings.Join(lines(t, path, asked), "\n"); strings.Count(logged, want) != 2 {
		t.Errorf("%s is not in the log:\n%s", want, logged)
	}
}

// TestPouredCutShort: a long body that its node breaks off, or stops to send, is broken off for the client.
func TestPouredCutShort(t *testing.T) {
	octets := someOctets(1 << 20)
	f := func(name string, timeout time.Duration, then func(net.Conn)) {
		t.Run(name, func(t *testing.T) {
			node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
				_, _ = io.WriteString(conn, lengthHead(2<<20))
				_, _ = conn.Write(octets)
				then(conn)
				return false
			})
			proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.StreamTimeout = timeout })
			conn := dial(t, proxy)
			_, _ = io.WriteString(conn, getA)
			got, _ := io.ReadAll(conn)
			want := append([]byte(lengthHead(2<<20)), octets...)
			if !bytes.HasPrefix(want, got) || timeout == patience && len(got) < len(want) {
				t.Errorf("%d octets came, want those %d", len(got), len(want))
			}
			if proxy.pipes.Octets.Load() == 0 {
				t.Error("nothing was poured")
			}
		})
	}
	f("ends", patience, func(net.Conn) {})
	f("stops", 200*time.Millisecond, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
}

// TestPouredToNobody: a client that leaves, or does not read, ends a long answer at the node.
func TestPouredToNobody(t *testing.T) {
	f := func(name string, then func(net.Conn)) {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
				_, _ = io.WriteString(conn, lengthHead(1<<30))
				_, _ = io.CopyN(conn, zeros{}, 1<<30)
				close(ended)
				return false
			})
			proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.StreamTimeout = 200 * time.Millisecond })
			conn := dial(t, proxy)
			_, _ = io.WriteString(conn, getA)
			until(t, "a part of the answer", func() bool { return proxy.pipes.Octets.Load() > 0 })
			then(conn)
			select {
			case <-ended:
			case <-time.After(patience):
				t.Error("the node goes on")
			}
		})
	}
	f("leaves", func(conn net.Conn) { _ = conn.Close() })
	f("does not read", func(net.Conn) {})
}

// TestPouredTooLong: octets behind a long answer are never the next one.
func TestPouredTooLong(t *testing.T) {
	octets := someOctets(1 << 20)
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		_, err := conn.Write(append(append([]byte(lengthHead(len(octets))), octets...), okAnswer...))
		return err == nil
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	for range 3 {
		conn := dial(t, proxy)
		_, _ = io.WriteString(conn, getA)
		want := append([]byte(lengthHead(len(octets))), octets...)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("others came: %v", err)
		}
	}
}
