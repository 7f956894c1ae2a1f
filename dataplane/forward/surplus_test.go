package forward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// heldConn sends what is written to it when it is told to, in one piece.
type heldConn struct {
	net.Conn
	held    bytes.Buffer
	holding bool
}

func (c *heldConn) Write(p []byte) (int, error) {
	if c.holding {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

// TestSurplusBehindTLS: octets that TLS read from the socket together with an answer, in a record of their own,
// are not the next answer.
func TestSurplusBehindTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			socket, err := listener.Accept()
			if err != nil {
				return
			}
			go answerTwice(socket, certified.TLS)
		}
	}()
	transport := newTransport(t, func(config *Config) {
		config.Dial = func(ctx context.Context, to Target) (net.Conn, error) {
			dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // what is in the records matters, not who wrote them
			return dialer.DialContext(ctx, "tcp", to.Address)
		}
	})
	for i := range 3 {
		if body, err := fetch(transport, &node{listener: listener}, get()); body != "ok" || err != nil {
			t.Errorf("answer %d is %q, %v", i, body, err)
		}
	}
	if discards := transport.Stats.Discards.Load(); discards != 2 {
		t.Errorf("%d connections were given up", discards)
	}
}

// answerTwice answers each request, and once more in another record of the same segment.
func answerTwice(socket net.Conn, config *tls.Config) {
	defer func() { _ = socket.Close() }()
	held := &heldConn{Conn: socket}
	conn := tls.Server(held, config)
	for reader := bufio.NewReader(conn); ; {
		if _, err := http.ReadRequest(reader); err != nil {
			return
		}
		held.holding = true
		_, _ = io.WriteString(conn, okAnswer)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		held.holding = false
		if _, err := socket.Write(held.held.Bytes()); err != nil {
			return
		}
		held.held.Reset()
	}
}
