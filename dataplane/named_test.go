package dataplane

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
)

// headed has a proxy read PROXY headers of whom loopback trusts.
func headed(config *Config) {
	loopback(config)
	config.Trail.ProxyProtocol = true
}

// TestNamedClients: raw octets in, and what the node is told of whom they are from.
func TestNamedClients(t *testing.T) {
	t.Parallel()
	node := startNode(t, answer(okAnswer))
	view := ringOf(t, 1, 1, up("n1", node.address()))
	proxy, _ := start(t, view, defaults, headed, func(c *Config) { c.HeadTimeout = 400 * time.Millisecond })
	const get = "GET /kv/a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n"
	f := func(header, want string) {
		t.Helper()
		if got, _ := talk(t, proxy, header+get); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("%q: the client got %q", header, got)
		}
		if raw := node.next(t).raw; !strings.Contains(raw, "\r\nX-Forwarded-For: "+want+"\r\n") || strings.Contains(raw, "PROXY") {
			t.Errorf("%q: the node was told %q, want %s", header, raw, want)
		}
	}
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	f("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "1.2.3.4")
	f("PROXY TCP6 2001:db8::1 2001:db8::2 80 443\r\n", "2001:db8::1")
	f(signature+"\x21\x11\x00\x0C\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xBB", "1.2.3.4")
	// One that is named is believed if it is a trusted proxy itself; so is one that speaks for itself.
	f("PROXY TCP4 10.1.1.1 5.6.7.8 80 443\r\n", "6.6.6.6, 10.1.1.1")
	f("PROXY UNKNOWN\r\n", "6.6.6.6, 127.0.0.1")
	f(signature+"\x20\x00\x00\x00", "6.6.6.6, 127.0.0.1")

	no := func(octets string) {
		t.Helper()
		if got, closed := talk(t, proxy, octets); got != "" || !closed {
			t.Errorf("%q: got %q, closed %v", octets, got, closed)
		}
	}
	for _, garbage := range []string{get, "PROXY TCP4 1.2.3.4\r\n" + get, signature + "\x31\x11\x00\x00" + get, "PROXY UNKNOWN", "P"} {
		no(garbage)
	}
	node.none(t)
	if got := proxy.unnamed.Load(); got != 5 {
		t.Errorf("%d connections were counted as unnamed", got)
	}

	// Whoever isn't trusted is served without a header, and one of its own making is no request.
	direct, _ := start(t, view, defaults, headed, func(c *Config) { c.Trail.TrustedProxies = c.Trail.TrustedProxies[1:] })
	if got, _ := talk(t, direct, get); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(node.next(t).raw, "X-Forwarded-For: 127.0.0.1\r\n") {
		t.Errorf("served directly: %q", got)
	}
	if got, closed := talk(t, direct, "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n"+get); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !closed {
		t.Errorf("a header of an untrusted client: %q, closed %v", got, closed)
	}
	node.none(t)
}

// TestNamedClientsInTLS: the header stands in the clear before the handshake.
func TestNamedClientsInTLS(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	ca := authority.New(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), defaults, headed, func(c *Config) {
		c.SecurityClients = ca.Security(transport.RoleProxy, "p1")
	})
	files := ca.Files(transport.RoleProxy, "client")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	f := func(header string) (string, error) {
		conn := dial(t, proxy)
		_, _ = io.WriteString(conn, header)
		secured := tls.Client(conn, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := secured.HandshakeContext(ctx); err != nil {
			return "", err
		}
		if _, err := io.WriteString(secured, "GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
			return "", err
		}
		got, err := io.ReadAll(secured)
		return string(got), err
	}
	got, err := f("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n")
	if err != nil || !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
		t.Fatalf("got %q, %v", got, err)
	}
	if raw := node.next(t).raw; !strings.Contains(raw, "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n") {
		t.Errorf("the node was told %q", raw)
	}
	if got, err := f(""); err == nil {
		t.Errorf("served without a header: %q", got)
	}
	node.none(t)
}

func TestNamedClientsNeedTrust(t *testing.T) {
	config := NewConfig()
	config.Trail.ProxyProtocol = true
	if config.Validate() == nil {
		t.Error("PROXY headers are read from nobody in particular")
	}
}
