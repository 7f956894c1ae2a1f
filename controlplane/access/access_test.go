package access

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

func TestRules(t *testing.T) {
	f := func(role transport.Role, name, method, path, about string, allowed bool) {
		t.Helper()
		problem := RuleOf(method, path).Check(transport.Identity{Role: role, Name: name}, about)
		if (problem == nil) != allowed || problem != nil && problem.Code != api.CodeForbidden {
			t.Errorf("%s %s: %s %s of %q: %v", role, name, method, path, about, problem)
		}
	}
	f(transport.RoleOperator, "ann", "PATCH", "/v1/cluster", "", true)
	f(transport.RoleOperator, "ann", "DELETE", "/v1/nodes/{id}", "n1", true)
	f(transport.RoleOperator, "ann", "POST", "/v1/path-of-a-later-version", "", true)
	f(transport.RoleOperator, "ann", "POST", "/v1/peers", "", false)
	f(transport.RoleMember, "c1", "POST", "/v1/peers", "", true)
	f(transport.RoleMember, "c1", "PATCH", "/v1/cluster", "", false)
	for _, role := range transport.Roles {
		f(role, "x", "GET", "/v1/nodes", "", true)
		f(role, "x", "HEAD", "/metrics", "", true)
	}
	f(transport.RoleReader, "bob", "POST", "/v1/ring/rebalance", "", false)
	f(transport.RoleReader, "n1", "POST", "/v1/nodes/{id}/beat", "n1", false)
	f(transport.RoleNode, "n1", "POST", "/v1/nodes", "", true) // whose, the body says
	f(transport.RoleNode, "n1", "POST", "/v1/nodes/{id}/beat", "n1", true)
	f(transport.RoleNode, "n1", "POST", "/v1/nodes/{id}/beat", "n2", false)
	f(transport.RoleNode, "*", "POST", "/v1/nodes/{id}/beat", "n2", true)
	f(transport.RoleNode, "n1", "POST", "/v1/nodes/{id}/drain", "n1", true)
	f(transport.RoleNode, "n1", "POST", "/v1/nodes/{id}/slots", "n1", true)
	f(transport.RoleNode, "n1", "POST", "/v1/nodes/{id}/slots", "n2", false)
	f(transport.RoleNode, "n1", "POST", "/v1/slots/cas", "", true) // whose, the body says
	f(transport.RoleOperator, "ann", "POST", "/v1/slots/cas", "", false)
	f(transport.RoleNode, "n1", "POST", "/v1/slots/{slot}/force", "", false)
	f(transport.RoleNode, "n1", "POST", "/v1/nodes/{id}/evict", "n1", false)
	f(transport.RoleNode, "n1", "POST", "/v1/ring/changes/{id}/cancel", "12", false)
	f(transport.RoleReader, "bob", "GET", "/v1/slots", "", true)
	f(transport.RoleNode, "n1", "POST", "/v1/nodes/{id}/undrain", "n1", false)
	f(transport.RoleNode, "n1", "PATCH", "/v1/nodes/{id}", "n1", false)
	f(transport.RoleNode, "n1", "DELETE", "/v1/nodes/{id}", "n1", true)
	f(transport.RoleNode, "n1", "POST", "/v1/proxies/{id}/beat", "n1", false)
	f(transport.RoleProxy, "p1", "POST", "/v1/proxies/{id}/beat", "p1", true)
	f(transport.RoleProxy, "p1", "POST", "/v1/proxies/{id}/beat", "p2", false)

	got := RuleOf("POST", "/v1/nodes").Check(transport.Identity{Role: transport.RoleReader, Name: "bob"}, "")
	if want := "reader bob is no operator or node"; got.Detail != want {
		t.Errorf("got %q, want %q", got.Detail, want)
	}
}

func TestTokenFile(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := parse([]byte(content))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
	}
	const secret = "0123456789abcdef"
	f("", "it is empty; a comment alone says that nobody has a token")
	f(" \n\n", "it is empty; a comment alone says that nobody has a token")
	f("# nobody\n\n", "")
	f("operator ann "+secret+"\r\n", "")
	f("operator ann@example.com "+secret, "")
	f("reader bob sha256:"+strings.Repeat("0a", 32), "")
	f("operator ann", "line 1: it is not ROLE NAME TOKEN")
	f("\n# x\noperator ann "+secret+" more", "line 3: it is not ROLE NAME TOKEN")
	f("operator ann 0123456789abcde", "line 1: the token is shorter than 16 characters")
	f("member c1 "+secret, "line 1: the role is none of operator, read-only, node and proxy")
	f(secret+" ann "+secret, "line 1: the role is none of operator, read-only, node and proxy")
	f("node n/1 "+secret, "line 1: the name can name nobody of that role")
	f("operator \xff "+secret, "line 1: the name can name nobody of that role")
	f("operator ann sha256:0a", "line 1: sha256: is not followed by 64 hex digits")
	f("operator ann "+secret+"\nread-only bob "+secret, "line 2: the token stands in an earlier line")
	var many strings.Builder
	for i := range tokensMax + 1 {
		fmt.Fprintf(&many, "node * %016d\n", i)
	}
	f(many.String(), fmt.Sprintf("line %d: there are more than %d tokens", tokensMax+1, tokensMax))
}

func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	content := fmt.Sprintf("operator ann ann-0123456789abcdef\nread-only bob sha256:%x\nnode * any-0123456789abcdef\n", sha256.Sum256([]byte("bob's")))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := LoadTokens(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f := func(shown, want string) {
		t.Helper()
		holder, known := tokens.Holder(shown)
		if holder.String() != want || known != (want != "") {
			t.Errorf("%q is of %q, %v", shown, holder, known)
		}
	}
	f("ann-0123456789abcdef", "operator ann")
	f("bob's", "reader bob")
	f("any-0123456789abcdef", "node *")
	f("ann-0123456789abcdeg", "")
	f("", "")
	if _, err := LoadTokens(path+"x", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a missing file was read")
	}
}

// FuzzTokenFile: whatever stands in the file, it is read or refused, and an error quotes nothing of it.
func FuzzTokenFile(f *testing.F) {
	f.Add("operator ann 0123456789abcdef\n# x\nnode * sha256:00")
	f.Add("0123456789secret 0123456789secret 0123456789secret")
	f.Fuzz(func(t *testing.T, content string) {
		tokens, err := parse([]byte(content))
		if err == nil {
			for _, token := range tokens {
				if token.holder.Role == transport.RoleMember || token.holder.Name == "" {
					t.Errorf("a token of %q", token.holder)
				}
			}
			return
		}
		for _, word := range strings.Fields(content) {
			if len(word) >= tokenLengthMin && strings.Contains(err.Error(), word) {
				t.Errorf("%v quotes the file", err)
			}
		}
	})
}

// The token file in the docs is one.
func TestDocumentedTokenFile(t *testing.T) {
	docs, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(docs), "```\n# ROLE NAME TOKEN")
	example, _, found := strings.Cut(rest, "```")
	tokens, err := parse([]byte("#" + example))
	if !found || err != nil || len(tokens) != 3 {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
}
