package dataplane

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// TestFirstOctet: the first octet of a body of known length is with the client before the node sends the second.
func TestFirstOctet(t *testing.T) {
	seen := make(chan struct{})
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		select {
		case <-seen:
		case <-t.Context().Done():
		}
		_, err := io.WriteString(conn, "k")
		return err == nil
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, getA)
	first := make([]byte, len(okAnswer)-1)
	if _, err := io.ReadFull(conn, first); err != nil || string(first) != okAnswer[:len(first)] {
		t.Fatalf("got %q, %v", first, err)
	}
	close(seen)
	if rest, _ := listen(t, conn); rest != "k" {
		t.Errorf("then came %q", rest)
	}
}

// TestUnreadBody: a body that nobody wanted is read to its end if that is near, so that the connection goes on;
// else the answer says that it does not. What hides in a body is no request either way.
func TestUnreadBody(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	f := func(octets int, goesOn bool) {
		t.Helper()
		body := strings.Repeat("GET /kv/hidden HTTP/1.1\r\nHost: h\r\n\r\n", octets/35+1)[:octets]
		got, closed := talk(t, proxy, fmt.Sprintf("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s%s", octets, body, getA))
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, `"code":"no_key"`) ||
			strings.HasSuffix(got, okAnswer) != goesOn || strings.Contains(got, "Connection: close\r\n") == goesOn || closed == goesOn {
			t.Errorf("%d octets: got %q, closed %v", octets, got, closed)
		}
		if goesOn {
			if request := node.next(t); !strings.HasPrefix(request.raw, "GET /kv/a ") {
				t.Errorf("the node got %q", request.raw)
			}
		}
		node.none(t)
	}
	f(100_000, true)
	f(256<<10, true)
	f(300_000, false)
}

// TestOctetsBehindTheLastRequest: what a client sends behind a request that ends the connection does not cost it the
// answer.
func TestOctetsBehindTheLastRequest(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	behind := strings.Repeat("GET /kv/hidden HTTP/1.1\r\nHost: h\r\n\r\n", 6000)
	got, closed := talk(t, proxy, "GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"+behind)
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\nok") || !closed {
		t.Errorf("got %q, closed %v", got, closed)
	}
	node.next(t)
	node.none(t)
}
