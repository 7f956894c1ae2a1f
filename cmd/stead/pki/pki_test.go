package pki

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
)

func parse(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestIssuedCertificates(t *testing.T) {
	folder, out, now := filepath.Join(t.TempDir(), "pki"), t.TempDir(), time.Now()
	if err := Init(folder, "shop", 10, now); err != nil {
		t.Fatal(err)
	}
	authority := parse(t, filepath.Join(folder, CAName))
	if !authority.IsCA || !authority.MaxPathLenZero || authority.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("the CA is none: %+v", authority)
	}
	f := func(role transport.Role, serves bool) {
		t.Helper()
		issued, err := Issue(folder, out, Request{Role: role, Name: "x1", Hosts: []string{"10.0.0.1", "a.example"}, Days: 365}, now)
		if err != nil {
			t.Fatal(err)
		}
		certificate := parse(t, issued.Cert)
		if got := slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageServerAuth); got != serves {
			t.Errorf("%s serves: %v", role, got)
		}
		if certificate.NotAfter.After(authority.NotAfter) || certificate.IsCA || certificate.SerialNumber.BitLen() < 64 {
			t.Errorf("%s: %+v", role, certificate)
		}
		if certificate.DNSNames[0] != "a.example" || certificate.IPAddresses[0].String() != "10.0.0.1" {
			t.Errorf("%s: %v %v", role, certificate.DNSNames, certificate.IPAddresses)
		}
		loaded, err := transport.LoadTLS(transport.Files(issued), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if got := loaded.Identity(); got != (transport.Identity{Role: role, Name: "x1"}) {
			t.Errorf("got %s", got)
		}
	}
	f(transport.RoleMember, true)
	f(transport.RoleProxy, true)
	f(transport.RoleNode, true)
	f(transport.RoleOperator, false)
	f(transport.RoleReader, false)
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 11 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", entry.Name(), info.Mode())
		}
	}
}

func TestNothingIsWrittenOver(t *testing.T) {
	folder, other, now := t.TempDir(), t.TempDir(), time.Now()
	request := Request{Role: transport.RoleNode, Name: "n1", Days: 1}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(Init(folder, "one", 1, now))
	must(Init(other, "two", 1, now))
	if err := Init(folder, "one", 1, now); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second CA: %v", err)
	}
	_, err := Issue(folder, folder, request, now)
	must(err)
	if _, err := Issue(folder, folder, request, now); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the same certificate: %v", err)
	}
	if _, err := Issue(folder, other, request, now); err == nil {
		t.Error("put beside another CA")
	}
	if left, err := os.ReadDir(other); err != nil || len(left) != 2 {
		t.Errorf("beside another CA there are now %v, %v", left, err)
	}
}

func TestBadRequests(t *testing.T) {
	folder, now := t.TempDir(), time.Now()
	if _, err := Issue(folder, folder, Request{Role: transport.RoleNode, Name: "n1", Days: 1}, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a CA: %v", err)
	}
	if err := Init(folder, "", 1, now); err == nil {
		t.Error("a CA without a name")
	}
	if err := Init(folder, "ca", 2, now.Add(-10*day)); err != nil {
		t.Fatal(err)
	}
	f := func(name string, days int, at time.Time) {
		t.Helper()
		if _, err := Issue(folder, folder, Request{Role: transport.RoleNode, Name: name, Days: days}, at); err == nil {
			t.Errorf("%q for %d days was issued", name, days)
		}
	}
	f("../n1", 1, now.Add(-9*day))
	f("", 1, now.Add(-9*day))
	f("n1", 0, now.Add(-9*day))
	f("n1", DaysMax+1, now.Add(-9*day))
	f("n1", 1, now) // the CA has expired

	issue := func(folder string, request Request) error {
		request.Days = 1
		_, err := Issue(folder, t.TempDir(), request, now.Add(-9*day))
		return err
	}
	hosts := func(host string, want bool) {
		t.Helper()
		err := issue(folder, Request{Role: transport.RoleOperator, Name: "ann@example.com", Hosts: []string{host}})
		if (err == nil) != want {
			t.Errorf("host %q: %v", host, err)
		}
	}
	hosts("10.0.0.1", true)
	hosts("fd00::1", true)
	hosts("a.example", true)
	hosts("*.example", true)
	hosts("", false)
	hosts("10.0.0.1:7400", false)
	hosts("10.0.0.1,10.0.0.2", false)
	hosts("10.0.0.0/8", false)
	hosts("10.0.0.300", false)
	hosts("foo bar", false)
	for _, role := range []transport.Role{transport.RoleMember, transport.RoleProxy, transport.RoleNode} {
		if issue(folder, Request{Role: role, Name: "x@y"}) == nil {
			t.Errorf("a certificate for %s x@y, which there cannot be", role)
		}
	}
}

// TestLeafIsNoCA: what a certificate signs that is no CA's, nobody would take.
func TestLeafIsNoCA(t *testing.T) {
	folder, now := t.TempDir(), time.Now()
	if err := Init(folder, "ca", 2, now); err != nil {
		t.Fatal(err)
	}
	issued, err := Issue(folder, t.TempDir(), Request{Role: transport.RoleNode, Name: "n1", Days: 1}, now)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{issued.Cert: CAName, issued.Key: CAKeyName} {
		if err := os.Rename(from, filepath.Join(folder, to)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Issue(folder, t.TempDir(), Request{Role: transport.RoleNode, Name: "n2", Days: 1}, now); err == nil {
		t.Error("a node's certificate signed another")
	}
}
