package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/pki"
	"github.com/stead-io/stead/tests/authority"
)

var silent = slog.New(slog.DiscardHandler)

func load(t *testing.T, files transport.Files) *transport.TLS {
	t.Helper()
	loaded, err := transport.LoadTLS(files, silent)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// listen answers each connection that is let in with whom it is from.
func listen(t *testing.T, security transport.Security, callers transport.Callers) string {
	t.Helper()
	listener, err := security.ListenFor("127.0.0.1:0", callers)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			secured := conn.(*tls.Conn)
			if secured.Handshake() == nil {
				state := secured.ConnectionState()
				caller, _ := transport.CallerOf(&state)
				_, _ = io.WriteString(conn, "hello "+caller.String())
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// ask connects and says what became of it.
func ask(t *testing.T, security transport.Security, address string, expected transport.Identity) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := security.Dial(ctx, address, expected)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	said, err := io.ReadAll(conn)
	return string(said), err
}

func TestBothEndsAreMadeSureOf(t *testing.T) {
	ours, theirs := authority.New(t), authority.New(t)
	server := ours.Security(transport.RoleNode, "n1")
	anybody := listen(t, server, transport.Callers{})
	members := listen(t, ours.Security(transport.RoleMember, "c1"), transport.Callers{Role: transport.RoleMember})
	tokens := listen(t, server, transport.Callers{Optional: true})
	node, member := transport.Identity{Role: transport.RoleNode, Name: "n1"}, transport.Identity{Role: transport.RoleMember}
	alone := ours.Files(transport.RoleReader, "r")
	alone.Cert, alone.Key = "", ""
	caOnly := transport.Security{TLS: load(t, alone)}

	f := func(client transport.Security, address string, expected transport.Identity, want string) {
		t.Helper()
		said, err := ask(t, client, address, expected)
		switch {
		case err != nil && transport.Refused(err):
			said = "refused"
		case errors.Is(err, transport.ErrImpostor):
			said = "impostor"
		case errors.Is(err, transport.ErrDistrust):
			said = "distrust"
		case err != nil:
			t.Fatal(err)
		}
		if said != want {
			t.Errorf("%q, want %q (%v)", said, want, err)
		}
	}
	f(ours.Security(transport.RoleProxy, "p1"), anybody, node, "hello proxy p1")
	f(ours.Security(transport.RoleProxy, "p1"), anybody, transport.Identity{Role: transport.RoleNode, Name: "n2"}, "impostor")
	f(ours.Security(transport.RoleProxy, "p1"), anybody, member, "impostor")
	f(ours.Security(transport.RoleMember, "c2"), members, member, "hello member c2")
	f(ours.Security(transport.RoleNode, "n1"), members, member, "refused")
	f(ours.Security(transport.RoleOperator, "ann"), members, member, "refused")
	f(theirs.Security(transport.RoleMember, "c2"), members, member, "distrust")
	f(caOnly, anybody, node, "refused")
	f(caOnly, tokens, node, "hello ")
	f(ours.Security(transport.RoleReader, "bob"), tokens, node, "hello reader bob")

	// One that believes the servers and has a certificate from elsewhere.
	stranger := theirs.Files(transport.RoleMember, "c2")
	address := members
	pair, err := tls.LoadX509KeyPair(stranger.Cert, stranger.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, certificates := range [][]tls.Certificate{nil, {pair}} {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
		if err == nil {
			_, err = io.ReadAll(conn)
			_ = conn.Close()
		}
		if !transport.Refused(err) {
			t.Errorf("a stranger's end: %v", err)
		}
	}
	old, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		_ = old.Close()
		t.Error("TLS 1.2 was spoken")
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	ours, theirs := authority.New(t), authority.New(t)
	good, other := ours.Files(transport.RoleNode, "n1"), theirs.Files(transport.RoleNode, "n1")
	past, err := pki.Issue(ours.Folder, t.TempDir(), pki.Request{Role: transport.RoleNode, Name: "old", Days: 1}, time.Now().Add(-10*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	f := func(files transport.Files, want string) {
		t.Helper()
		if _, err := transport.LoadTLS(files, silent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(transport.Files(past), "expired")
	f(transport.Files{Cert: good.Cert, Key: good.Key, CA: other.CA}, "unknown authority")
	f(transport.Files{Cert: good.Cert, Key: other.Key, CA: good.CA}, "private key does not match")
	f(transport.Files{Cert: good.Cert, Key: good.Key, CA: good.Key}, "no certificate in PEM")
	f(transport.Files{Cert: good.Cert, Key: good.Key}, "cannot load the CA")
	f(transport.Files{Cert: good.CA, Key: good.Key, CA: good.CA}, "cannot load the certificate")

	security := transport.Security{TLS: load(t, good)}
	if err := security.CheckOwn(transport.Identity{Role: transport.RoleNode, Name: "n2"}); !errors.Is(err, transport.ErrImpostor) {
		t.Errorf("another's certificate: %v", err)
	}
	if err := security.Check("0.0.0.0:0"); err != nil {
		t.Errorf("with TLS, beyond loopback: %v", err)
	}
	if err := (transport.Security{TLS: load(t, transport.Files{CA: good.CA})}).Check("127.0.0.1:0"); !errors.Is(err, transport.ErrNoCertificate) {
		t.Errorf("with a CA alone: %v", err)
	}
}

// copyFiles replaces one set of files by another.
func copyFiles(t *testing.T, from, to transport.Files) {
	t.Helper()
	for _, pair := range [][2]string{{from.Cert, to.Cert}, {from.Key, to.Key}, {from.CA, to.CA}} {
		content, err := os.ReadFile(pair[0])
		if err == nil {
			err = os.WriteFile(pair[1]+".new", content, 0o600)
		}
		if err == nil {
			err = os.Rename(pair[1]+".new", pair[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplacedFilesAreUsed: a certificate of another CA is refused until the listener's own files are
// replaced, and files of somebody else are never used.
func TestReplacedFilesAreUsed(t *testing.T) {
	before, after := authority.New(t), authority.New(t)
	folder := t.TempDir()
	files := transport.Files{Cert: filepath.Join(folder, "c"), Key: filepath.Join(folder, "k"), CA: filepath.Join(folder, "ca")}
	copyFiles(t, before.Files(transport.RoleNode, "n1"), files)
	var log logged
	loaded, err := transport.LoadTLS(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	address := listen(t, transport.Security{TLS: loaded}, transport.Callers{})
	client := after.Security(transport.RoleProxy, "p1")
	expected := transport.Identity{Role: transport.RoleNode, Name: "n1"}

	if _, err := ask(t, client, address, expected); !errors.Is(err, transport.ErrDistrust) {
		t.Fatalf("before: %v", err)
	}
	await := func(what string, reached func(said string, err error) bool) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			said, err := ask(t, client, address, expected)
			if reached(said, err) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %q, %v", what, said, err)
			}
		}
	}
	copyFiles(t, after.Files(transport.RoleNode, "n2"), files)
	await("somebody else's files", func(_ string, err error) bool {
		return errors.Is(err, transport.ErrDistrust) && strings.Contains(log.String(), "not used")
	})
	copyFiles(t, after.Files(transport.RoleNode, "n1"), files)
	await("its own", func(said string, err error) bool { return err == nil && said == "hello proxy p1" })
}

// logged keeps what was logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestTwoAuthorities: while a cluster changes its CA, its files hold both, and either's certificates pass.
func TestTwoAuthorities(t *testing.T) {
	before, after := authority.New(t), authority.New(t)
	bundle := filepath.Join(t.TempDir(), "both.pem")
	var both []byte
	for _, a := range []authority.Authority{before, after} {
		content, err := os.ReadFile(filepath.Join(a.Folder, pki.CAName))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, content...)
	}
	if err := os.WriteFile(bundle, both, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(files transport.Files) transport.Security {
		files.CA = bundle
		return transport.Security{TLS: load(t, files)}
	}
	address := listen(t, with(before.Files(transport.RoleNode, "n1")), transport.Callers{})
	said, err := ask(t, with(after.Files(transport.RoleProxy, "p1")), address, transport.Identity{Role: transport.RoleNode, Name: "n1"})
	if err != nil || said != "hello proxy p1" {
		t.Errorf("%q, %v", said, err)
	}
}

func TestClearIsRefused(t *testing.T) {
	ours := authority.New(t)
	via := ours.Security(transport.RoleProxy, "p1").Transport(transport.Identity{Role: transport.RoleMember})
	if _, err := via.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil || errors.As(err, new(*net.OpError)) {
		t.Errorf("http:// with TLS: %v", err)
	}
}
