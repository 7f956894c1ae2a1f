package dataplane

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
)

// shown is a certificate for clients, in files of the test.
type shown struct {
	ca    authority.Authority
	files transport.Files
	roots *x509.CertPool
}

func newShown(t testing.TB) shown {
	t.Helper()
	ca := authority.New(t)
	s := shown{ca: ca, files: ca.Files(transport.RoleProxy, "first"), roots: x509.NewCertPool()}
	pem, err := os.ReadFile(s.files.CA)
	if err != nil || !s.roots.AppendCertsFromPEM(pem) {
		t.Fatal("no CA", err)
	}
	return s
}

// security has the proxy show the certificate to clients.
func (s shown) security(t testing.TB) func(*Config) {
	t.Helper()
	certificate, err := transport.LoadCertificate(s.files.Cert, s.files.Key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.SecurityClients.Certificate = certificate }
}

// config is that of clients who believe the CA; certificates of the tests' CA name nobody's host.
func (s shown) config(protocols ...string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, NextProtos: protocols,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: s.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			return err
		},
	}
}

// dial connects a client in TLS.
func (s shown) dial(t testing.TB, proxy *Proxy, protocols ...string) *tls.Conn {
	t.Helper()
	secured := tls.Client(dial(t, proxy), s.config(protocols...))
	if err := secured.Handshake(); err != nil {
		t.Fatal(err)
	}
	return secured
}

// TestClientTLS: what speaks HTTP/1.1 in TLS is served as in the clear, and the node is told.
func TestClientTLS(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t), func(c *Config) { c.Trail = newTrailConfig() })
	f := func(protocols ...string) {
		t.Helper()
		conn := shown.dial(t, proxy, protocols...)
		reader := bufio.NewReader(conn)
		for range 2 {
			_, _ = io.WriteString(conn, "POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
			if answer, body := readAnswer(t, reader); answer.StatusCode != 200 || body != "ok" {
				t.Errorf("got %v %q", answer.Status, body)
			}
			if got := node.next(t); got.body != "body" || !strings.Contains(got.raw, "X-Forwarded-Proto: https\r\n") {
				t.Errorf("the node got %q", got.raw)
			}
		}
	}
	f()
	f("http/1.1")
	f("other", "http/1.1")

	if got, closed := talk(t, proxy, getA); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "https") || !closed {
		t.Errorf("a client in the clear got %q, closed %v", got, closed)
	}
	if got, _ := talk(t, proxy, "\x00\x01nonsense"); strings.Contains(got, "HTTP") {
		t.Errorf("a client that speaks nothing got %q", got)
	}
	node.none(t)
	until(t, "the count of failures", func() bool { return proxy.server.HandshakesFailed.Load() == 2 })
}

// TestClientTLSHandshakesWaitForNobody: a client that says nothing holds up neither others nor itself for ever, and one too many is
// turned away without a handshake.
func TestClientTLSHandshakesWaitForNobody(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t), func(c *Config) {
		c.HeadTimeout, c.Connections, c.IdleTimeout = 100*time.Millisecond, 2, patience
	})
	silent := dial(t, proxy)
	served := shown.dial(t, proxy)
	until(t, "both clients' places", func() bool { return proxy.server.Clients() == 2 })
	if got, err := io.ReadAll(dial(t, proxy)); len(got) > 0 {
		t.Errorf("one too many got %q, %v", got, err)
	}
	if got, err := io.ReadAll(silent); len(got) > 0 || os.IsTimeout(err) {
		t.Errorf("a silent client got %q, %v", got, err)
	}
	_, _ = io.WriteString(served, getA)
	if answer, _ := readAnswer(t, bufio.NewReader(served)); answer.StatusCode != http.StatusOK {
		t.Errorf("got %v", answer.Status)
	}
}

// TestClientTLSCrowded: a client of an address that has enough is told so in TLS.
func TestClientTLSCrowded(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t), func(c *Config) { c.ConnectionsPerAddress = 1 })
	shown.dial(t, proxy)
	answer, body := readAnswer(t, bufio.NewReader(shown.dial(t, proxy)))
	if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "too_many_connections") {
		t.Errorf("got %v %q", answer.Status, body)
	}
}

// TestClientCertificateReplaced: new connections see what the files hold now, those that stand go on.
func TestClientCertificateReplaced(t *testing.T) {
	node, shown := startNode(t, answer(okAnswer)), newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), shown.security(t))
	before := shown.dial(t, proxy)
	name := func(conn *tls.Conn) string { return conn.ConnectionState().PeerCertificates[0].Subject.CommonName }
	if got := name(before); got != "first" {
		t.Fatalf("shown is %q", got)
	}
	replace(t, shown.ca.Files(transport.RoleProxy, "second"), shown.files)
	until(t, "the new certificate", func() bool {
		conn, err := tls.Dial("tcp", proxy.Addr(), shown.config())
		if err != nil {
			return false // between key and certificate
		}
		defer conn.Close()
		return name(conn) == "second"
	})
	_, _ = io.WriteString(before, getA)
	if answer, _ := readAnswer(t, bufio.NewReader(before)); answer.StatusCode != http.StatusOK {
		t.Errorf("the connection from before got %v", answer.Status)
	}
}

// replace puts files in the place of others.
func replace(t *testing.T, with, files transport.Files) {
	t.Helper()
	for from, to := range map[string]string{with.Key: files.Key, with.Cert: files.Cert} {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(filepath.Dir(to), "next"), content, 0o600)
		}
		if err == nil {
			err = os.Rename(filepath.Join(filepath.Dir(to), "next"), to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
