// Package authority is a CA for tests: it certifies whoever they need. It owns no processes; those of
// tests/cluster have their own.
package authority

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/pki"
)

// days and age of a CA: certificates of before its test can be made too.
const (
	days = 30
	age  = 20 * 24 * time.Hour
)

// Authority issues certificates into folders of its test.
type Authority struct {
	Folder string
	t      testing.TB
}

// New makes a CA.
func New(t testing.TB) Authority {
	t.Helper()
	a := Authority{t.TempDir(), t}
	if err := pki.Init(a.Folder, "test", days, time.Now().Add(-age)); err != nil {
		t.Fatal(err)
	}
	return a
}

// Files certifies somebody for a day.
func (a Authority) Files(role transport.Role, name string) transport.Files {
	a.t.Helper()
	issued, err := pki.Issue(a.Folder, a.t.TempDir(), pki.Request{Role: role, Name: name, Days: 1}, time.Now())
	if err != nil {
		a.t.Fatal(err)
	}
	return transport.Files(issued)
}

// Security is that of somebody.
func (a Authority) Security(role transport.Role, name string) transport.Security {
	a.t.Helper()
	loaded, err := transport.LoadTLS(a.Files(role, name), slog.New(slog.DiscardHandler))
	if err != nil {
		a.t.Fatal(err)
	}
	return transport.Security{TLS: loaded}
}
