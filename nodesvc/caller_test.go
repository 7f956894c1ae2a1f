package nodesvc

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

func TestWhoMayUseTheService(t *testing.T) {
	f := func(state *tls.ConnectionState, allowed bool) {
		t.Helper()
		problem := checkCaller(&http.Request{TLS: state})
		if (problem == nil) != allowed || problem != nil && problem.Code != api.CodeForbidden {
			t.Errorf("%v, allowed %v", problem, allowed)
		}
	}
	certified := func(role transport.Role) *tls.ConnectionState {
		leaf := &x509.Certificate{Subject: pkix.Name{Organization: []string{role.Organization()}, CommonName: "x"}}
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
	}
	f(nil, true) // in the clear nobody is known
	f(&tls.ConnectionState{}, false)
	f(certified(transport.RoleProxy), true)
	f(certified(transport.RoleNode), true)
	f(certified(transport.RoleOperator), true)
	f(certified(transport.RoleReader), false)
	f(certified(transport.RoleMember), false)
}
