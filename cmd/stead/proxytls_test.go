package main

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
)

// TestClientTLSFlags: what does not go together is refused, and a file may name other files while the proxy runs.
func TestClientTLSFlags(t *testing.T) {
	ca := authority.New(t)
	first, second := ca.Files(transport.RoleProxy, "p1"), ca.Files(transport.RoleProxy, "p2")
	f := func(flags string, want bool) {
		t.Helper()
		a, err := attended(t, flags, nil, "")
		if (err == nil) != want {
			t.Errorf("%q: %v", flags, err)
		}
		if want && a.config.SecurityClients.Encrypted() != (flags != "") {
			t.Errorf("%q is not heeded", flags)
		}
	}
	both := fmt.Sprintf("--client-tls-cert %s --client-tls-key %s", first.Cert, first.Key)
	f("", true)
	f(both, true)
	f(both+" --listen 0.0.0.0:1 --advertise h:1", true)
	f("--client-tls-cert "+first.Cert, false)
	f("--client-tls-key "+first.Key, false)
	f(both+" --insecure-clients", false)
	f(fmt.Sprintf("--client-tls-cert %s --client-tls-key %s", first.Cert, second.Key), false)

	file := func(of transport.Files) string {
		return fmt.Sprintf("client-tls-cert = %s\nclient-tls-key = %s\n", of.Cert, of.Key)
	}
	a, err := attended(t, "", nil, file(first))
	if err != nil {
		t.Fatal(err)
	}
	g := func(content string, want bool) {
		t.Helper()
		write(t, a.file, content)
		before := layerOf(a.command.Flags())
		_, waiting, err := a.reread(before)
		if err == nil {
			_, err = a.clientTLS.reread(a.config.Logger)
		}
		if (err == nil) != want || len(waiting) > 0 {
			t.Errorf("%q: %v, waiting %v", content, err, waiting)
		}
	}
	g(file(second), true)
	g(file(transport.Files{Cert: first.Cert, Key: second.Key}), false)
	g("", false)
	pipe := filepath.Join(t.TempDir(), "pipe") // nobody writes to it: who reads it waits for ever
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	g(file(transport.Files{Cert: pipe, Key: second.Key}), false)
	g(file(transport.Files{Cert: first.Cert, Key: pipe}), false)
	g(file(first), true)
}
