package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/access"
)

// Every rule of the table is for a request there is: a path misspelt there would be for operators only.
func TestRulesNameRoutes(t *testing.T) {
	known := make(map[string]bool)
	for _, route := range (&Server{}).routes() {
		known[route.method+" "+route.path] = true
	}
	for request := range access.Exceptions {
		if !known[request] {
			t.Errorf("there is no %s", request)
		}
	}
	for request := range access.BetweenMembers {
		if !known[request] {
			t.Errorf("there is no %s", request)
		}
	}
}

// certified is a request's TLS state once a listener has verified a certificate.
func certified(role transport.Role, name string) *tls.ConnectionState {
	leaf := &x509.Certificate{Subject: pkix.Name{Organization: []string{role.Organization()}, CommonName: name}}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
}

func TestDoor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("operator ann ann-0123456789abcdef\nnode * any-0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.LoadTokens(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var (
		open     = &door{}
		byToken  = &door{tokens: tokens}
		byCert   = &door{identified: true}
		byEither = &door{identified: true, tokens: tokens}
	)
	const drain = "/v1/nodes/{id}/drain"
	f := func(d *door, path string, state *tls.ConnectionState, headers, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		if strings.Contains(path, "{id}") {
			r.SetPathValue("id", "n1")
		}
		r.TLS = state
		for _, line := range strings.Split(headers, "|") {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		got := ""
		if admitted, problem := d.admit(path, r); problem != nil {
			got = string(problem.Code)
		} else {
			got = actor(admitted)
		}
		if got != want {
			t.Errorf("%s with %q: %q, want %q", path, headers, got, want)
		}
	}
	f(open, drain, nil, "", "anonymous")
	f(open, drain, nil, "Stead-Actor: me\x01(x)|Stead-Caller: operator eve|Authorization: Bearer x", "me?(x)")
	f(byToken, drain, nil, "", "unauthenticated")
	f(byToken, drain, nil, "Authorization: Basic ann-0123456789abcdef", "unauthenticated")
	f(byToken, drain, nil, "Authorization: bearer ann-0123456789abcdef", "operator ann")
	f(byToken, drain, nil, "Authorization: Bearer any-0123456789abcdef|Stead-Actor: node n1", "node * (node n1)")
	f(byToken, drain, nil, "Stead-Caller: operator eve", "unauthenticated")
	f(byToken, "/v1/peers", nil, "", "anonymous")
	f(byToken, drain, nil, "Authorization: Bearer ann-0123456789abcdef|Stead-Actor: x) operator eve (", "operator ann (x? operator eve ?)")
	f(byToken, drain, nil, "Authorization: Bearer ann-0123456789abcdef|Stead-Actor: ann", "operator ann")
	f(byCert, drain, nil, "", "unauthenticated")
	f(byCert, drain, certified(transport.RoleOperator, "ann"), "", "operator ann")
	f(byCert, drain, certified(transport.RoleOperator, "ann"), "Authorization: Bearer unknown", "operator ann")
	f(byCert, drain, certified(transport.RoleNode, "n1"), "Stead-Actor: node n1", "node n1")
	f(byCert, drain, certified(transport.RoleNode, "n2"), "", "forbidden")
	f(byCert, drain, certified(transport.RoleNode, "n2"), "Stead-Caller: operator eve", "forbidden")
	f(byCert, drain, certified(transport.RoleMember, "c1"), "", "forbidden")
	f(byCert, drain, certified(transport.RoleMember, "c1"), "Stead-Caller: operator ann|Stead-Actor: bot", "operator ann (bot)")
	f(byCert, drain, certified(transport.RoleMember, "c1"), "Stead-Caller: node n2", "forbidden")
	f(byCert, drain, certified(transport.RoleMember, "c1"), "Stead-Caller: king ann", "invalid")
	f(byCert, "/v1/peers", certified(transport.RoleMember, "c1"), "", "member c1")
	f(byCert, "/v1/peers", certified(transport.RoleOperator, "ann"), "", "forbidden")
	f(byEither, drain, certified(transport.RoleReader, "bob"), "Authorization: Bearer ann-0123456789abcdef", "operator ann")
	f(byEither, drain, certified(transport.RoleOperator, "ann"), "Authorization: Bearer unknown", "unauthenticated")
	f(byEither, drain, nil, "Authorization: Bearer ann-0123456789abcdef", "operator ann")
	f(byEither, drain, nil, "", "unauthenticated")
	f(byEither, "/v1/peers", nil, "", "unauthenticated")
}

// Only a member's word counts for a request having been passed on.
func TestForwardedIsAMembersWord(t *testing.T) {
	f := func(state *tls.ConnectionState, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.TLS = state
		r.Header.Set(api.HeaderForwarded, "c1")
		admitted, problem := (&door{identified: true}).admit("/v1/nodes", r)
		if problem != nil {
			t.Fatal(problem)
		}
		if got := admitted.Header.Get(api.HeaderForwarded); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(certified(transport.RoleMember, "c1"), "c1")
	f(certified(transport.RoleNode, "n1"), "")
}
