// Package pki makes the certificates of a cluster, for those who have no CA of their own: one CA, and
// from it a certificate for each member, proxy, node, operator and reader.
//
// It owns the shape of these certificates and the files they are kept in. It does not own what they are
// trusted for: that is api/transport, which takes certificates of the same shape from any CA. Its
// invariant: a file that is there is never written over, and keys are readable by their owner alone.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// Names of the CA's files.
const (
	CAName    = "ca.pem"
	CAKeyName = "ca-key.pem"
)

// Lifetimes unless asked for otherwise, and the longest.
const (
	DaysCADefault   = 3650
	DaysLeafDefault = 365
	DaysMax         = 36500

	day        = 24 * time.Hour
	skew       = 5 * time.Minute // by which clocks may differ
	serialBits = 127
)

// namePattern is what persons and programs may be called: as ids, and with "@".
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// Init makes a CA in a folder: ca.pem, which everybody gets, and ca-key.pem, which nobody gets.
func Init(folder, name string, days int, now time.Time) error {
	if name == "" || len(name) > 64 {
		return errors.New("the CA needs a name of at most 64 characters")
	}
	if err := checkDays(days); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("cannot make a key: %w", err)
	}
	template, err := newTemplate(pkix.Name{CommonName: name}, now, days)
	if err != nil {
		return err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("cannot make the CA: %w", err)
	}
	return write(folder, CAName, certificate, CAKeyName, key)
}

// Request is what a certificate shall say.
type Request struct {
	Role  transport.Role
	Name  string   // of the member, proxy, node or person
	Hosts []string // names and IPs for clients that verify them, as browsers do; Stead's own do not
	Days  int
}

// Issued are the files that a process is given.
type Issued struct{ Cert, Key, CA string }

// Issue makes a certificate from the CA in a folder, and puts it, its key and the CA's certificate into
// another, or the same.
func Issue(folder, out string, request Request, now time.Time) (Issued, error) {
	if err := request.validate(); err != nil {
		return Issued{}, err
	}
	authority, authorityKey, err := load(folder)
	if err != nil {
		return Issued{}, err
	}
	if err := checkOut(out, authority); err != nil {
		return Issued{}, err
	}
	template, err := leaf(request, authority, now)
	if err != nil {
		return Issued{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, fmt.Errorf("cannot make a key: %w", err)
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey)
	if err != nil {
		return Issued{}, fmt.Errorf("cannot make the certificate: %w", err)
	}
	base := string(request.Role) + "-" + request.Name
	if err := write(out, base+".pem", certificate, base+"-key.pem", key); err != nil {
		return Issued{}, err
	}
	return Issued{
		Cert: filepath.Join(out, base+".pem"), Key: filepath.Join(out, base+"-key.pem"), CA: filepath.Join(out, CAName),
	}, copyAuthority(out, authority)
}

// validate reports what would make a certificate that nobody can use.
func (r Request) validate() error {
	if err := checkName(r.Role, r.Name); err != nil {
		return err
	}
	for _, host := range r.Hosts {
		if net.ParseIP(host) == nil && !isName(host) {
			return fmt.Errorf("host %q is neither an IP address nor a name; a port does not belong to it", api.Clip(host))
		}
	}
	return checkDays(r.Days)
}

func checkName(role transport.Role, name string) error {
	switch role {
	case transport.RoleMember:
		return api.ValidateMemberName(name)
	case transport.RoleNode:
		return api.NodeID(name).Validate()
	case transport.RoleProxy:
		return api.ProxyID(name).Validate()
	}
	if !namePattern.MatchString(name) {
		return fmt.Errorf("name %q is not 1 to 64 of A-Z a-z 0-9 . _ @ -, beginning with a letter or digit", api.Clip(name))
	}
	return nil
}

// isName takes what a certificate can hold as a name: a DNS name, which may begin with a wildcard.
func isName(host string) bool {
	return api.ValidateAddress(net.JoinHostPort(strings.TrimPrefix(host, "*."), "1")) == nil
}

func checkDays(days int) error {
	if days < 1 || days > DaysMax {
		return fmt.Errorf("%d days is not between 1 and %d", days, DaysMax)
	}
	return nil
}

func newTemplate(subject pkix.Name, now time.Time, days int) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("cannot draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: now.Add(-skew), NotAfter: now.Add(time.Duration(days) * day),
	}, nil
}

// leaf is a certificate to be signed: for both sides of a connection where its holder serves.
func leaf(request Request, authority *x509.Certificate, now time.Time) (*x509.Certificate, error) {
	subject := pkix.Name{Organization: []string{request.Role.Organization()}, CommonName: request.Name}
	template, err := newTemplate(subject, now, request.Days)
	if err != nil {
		return nil, err
	}
	if now.After(authority.NotAfter) {
		return nil, fmt.Errorf("the CA expired on %s", authority.NotAfter.Format(time.DateOnly))
	}
	if template.NotAfter.After(authority.NotAfter) {
		template.NotAfter = authority.NotAfter
	}
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	switch request.Role {
	case transport.RoleMember, transport.RoleProxy, transport.RoleNode:
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range request.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template, nil
}
