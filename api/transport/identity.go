package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Role is what somebody may be in a cluster. A certificate says it as its subject's O: "stead-" and the
// role. The words are promises to certificates that are out there.
type Role string

// The roles there are.
const (
	RoleMember   Role = "member"   // of the control plane; CN is its name
	RoleProxy    Role = "proxy"    // CN is its id
	RoleNode     Role = "node"     // CN is its id
	RoleOperator Role = "operator" // a person or program that may change everything; CN names it
	RoleReader   Role = "reader"   // one that may look at everything
)

// Roles lists all roles.
var Roles = []Role{RoleMember, RoleProxy, RoleNode, RoleOperator, RoleReader}

const organizationPrefix = "stead-"

// Organization is the role as certificates say it.
func (r Role) Organization() string { return organizationPrefix + string(r) }

// ParseRole reads a role; "read-only" is a reader.
func ParseRole(text string) (Role, error) {
	if text == "read-only" {
		return RoleReader, nil
	}
	for _, role := range Roles {
		if text == string(role) {
			return role, nil
		}
	}
	return "", fmt.Errorf("%q is none of the roles member, proxy, node, operator and reader", text)
}

// Identity is who somebody is. As an expectation, an empty Name stands for everybody of the role.
type Identity struct {
	Role Role
	Name string
}

func (i Identity) String() string { return strings.TrimSpace(string(i.Role) + " " + i.Name) }

// fits reports whether this is who was expected.
func (i Identity) fits(expected Identity) bool {
	return i.Role == expected.Role && (expected.Name == "" || i.Name == expected.Name)
}

// Errors about who is at the other end.
var (
	// ErrNoIdentity refuses a certificate that is the cluster's and says nothing that Stead understands.
	ErrNoIdentity = errors.New("the certificate names no role of Stead")
	// ErrDistrust: a connection was made, and with whom could not be made sure.
	ErrDistrust = errors.New("cannot trust the other end")
	// ErrImpostor refuses a peer whose certificate is another's.
	ErrImpostor = errors.New("the certificate is another's")
)

// nameMax bounds the names in certificates, as that of an id.
const nameMax = 64

// IdentityOf reads who a certificate is for. Other organizations may stand beside the role; two roles
// are none.
func IdentityOf(certificate *x509.Certificate) (Identity, error) {
	identity := Identity{Name: certificate.Subject.CommonName}
	for _, organization := range certificate.Subject.Organization {
		text, found := strings.CutPrefix(organization, organizationPrefix)
		role, err := ParseRole(text)
		if !found || err != nil || organization != role.Organization() {
			continue
		}
		if identity.Role != "" {
			return Identity{}, fmt.Errorf("%w: it names more than one", ErrNoIdentity)
		}
		identity.Role = role
	}
	if identity.Role == "" {
		return Identity{}, fmt.Errorf("%w: its O is none of stead-member, stead-proxy, stead-node, stead-operator, stead-reader", ErrNoIdentity)
	}
	if identity.Name == "" || len(identity.Name) > nameMax || strings.ContainsFunc(identity.Name, unprintable) {
		return Identity{}, fmt.Errorf("%w: its CN is not 1 to %d printable characters", ErrNoIdentity, nameMax)
	}
	return identity, nil
}

func unprintable(c rune) bool { return c < ' ' || c > '~' }

// CallerOf is who is at the other end of a connection that came in over a listener of Security; known
// is false for one in the clear, or without a certificate.
func CallerOf(state *tls.ConnectionState) (caller Identity, known bool) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return Identity{}, false
	}
	caller, err := IdentityOf(state.PeerCertificates[0])
	return caller, err == nil
}
