//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

const (
	operatorToken = "operator-token-0123456789"
	readerToken   = "reader-token-0123456789"
	nodeToken     = "node-token-0123456789"
	proxyToken    = "proxy-token-0123456789"
	laterToken    = "later-token-0123456789"
)

// TestTokens: without certificates, tokens say who may do what, through whichever member, and are never
// said aloud.
func TestTokens(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lines := fmt.Sprintf("# who may do what\noperator ann %s\nread-only bob sha256:%x\nnode n1 %s\nproxy * %s\n",
		operatorToken, sha256.Sum256([]byte(readerToken)), nodeToken, proxyToken)
	tokens := file("tokens", lines)
	c := cluster.Start(t, cluster.Options{
		Members: 3, Nodes: 1, Token: operatorToken,
		ControlArgs: append([]string{"--token-file", tokens, "--log-level", "debug"}, soon...),
		NodeArgs:    []string{"--token-file", file("n1", nodeToken+"\n"), "--log-level", "debug"},
	})
	c.AddProxy("--token-file", file("p1", proxyToken), "--log-level", "debug")
	c.AwaitProxy(0)
	if got := must(t, "PUT", kvURL(c.ProxyAddrs[0], keyNumber(1)), []byte("v")); got.status != http.StatusCreated {
		t.Fatalf("put: %d %s", got.status, got.body)
	}

	before := standingOf(t, c)
	askWithTokens(t, c)
	before.unmoved(t, c)

	stead(t, c, "nodes", "weight", "n1", "2", "--actor", "deploy-bot@ci")
	stead(t, c, "nodes", "weight", "n1", "3", "--actor", "ann")
	history := stead(t, c, "ring", "history")
	for _, want := range []string{"operator ann (deploy-bot@ci)", "operator ann  ", "node n1"} {
		if !strings.Contains(history, want) {
			t.Errorf("history lacks %q:\n%s", want, history)
		}
	}

	file("tokens", "operator ann short\n")
	awaitToken(t, c, operatorToken, func() bool { return strings.Contains(c.Members[0].Output(), "the replaced token file is not used") })
	file("tokens", lines+"operator carl "+laterToken+"\n")
	awaitToken(t, c, laterToken, func() bool { return true })

	output := history
	for _, process := range append(append(c.Members, c.Nodes...), c.Proxies...) {
		output += process.Output()
	}
	for _, secret := range []string{operatorToken, readerToken, nodeToken, proxyToken, laterToken} {
		if strings.Contains(output, secret) {
			t.Errorf("a token was said aloud: %s", secret)
		}
	}
}

// askWithTokens makes requests with all kinds of tokens, at each member; none moves anything.
func askWithTokens(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	f := func(method, path, body, token string, want int, code api.Code) {
		t.Helper()
		for _, address := range c.APIs {
			headers := []string{api.HeaderCaller, "operator ann", api.HeaderActor, "operator ann"}
			if token != "" {
				headers = append(headers, "Authorization", "Bearer "+token)
			}
			got := must(t, method, "http://"+address+path, []byte(body), headers...)
			if got.status != want || code != "" && !strings.Contains(string(got.body), `"`+string(code)+`"`) {
				t.Errorf("%s %s at %s: %d %s, want %d %s", method, path, address, got.status, got.body, want, code)
			}
			if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != (want == http.StatusUnauthorized) {
				t.Errorf("%s %s: WWW-Authenticate is %q", method, path, challenge)
			}
		}
	}
	f("GET", "/livez", "", "", http.StatusOK, "")
	f("GET", "/readyz", "", "", http.StatusOK, "")
	f("GET", "/metrics", "", "", http.StatusUnauthorized, api.CodeUnauthenticated)
	f("GET", "/metrics", "", readerToken, http.StatusOK, "")
	f("GET", "/v1/nodes", "", "", http.StatusUnauthorized, api.CodeUnauthenticated)
	f("GET", "/v1/nodes", "", "another-token-0123456789", http.StatusUnauthorized, api.CodeUnauthenticated)
	f("GET", "/v1/nodes", "", readerToken, http.StatusOK, "")
	f("POST", "/v1/nodes/n1/drain", "", readerToken, http.StatusForbidden, api.CodeForbidden)
	f("PATCH", "/v1/nodes/n1", `{"weight":2}`, readerToken, http.StatusForbidden, api.CodeForbidden)
	f("PATCH", "/v1/nodes/n1", `{"weight":2}`, nodeToken, http.StatusForbidden, api.CodeForbidden)
	f("POST", "/v1/nodes", `{"id":"n2","address":"127.0.0.1:1"}`, nodeToken, http.StatusForbidden, api.CodeForbidden)
	f("POST", "/v1/nodes", `{"id":"n2","address":"127.0.0.1:1"}`, proxyToken, http.StatusForbidden, api.CodeForbidden)
	f("DELETE", "/v1/nodes/n1?force=lossy", "", proxyToken, http.StatusForbidden, api.CodeForbidden)
	f("PATCH", "/v1/cluster", `{"level":9}`, nodeToken, http.StatusForbidden, api.CodeForbidden)
	f("POST", "/v1/leader/transfer", "", readerToken, http.StatusForbidden, api.CodeForbidden)
	f("PATCH", "/v1/cluster", `{"level":9}`, laterToken, http.StatusUnauthorized, api.CodeUnauthenticated)
}

// awaitToken waits until all members take a token, and something else is reached too.
func awaitToken(t *testing.T, c *cluster.Cluster, token string, reached func() bool) {
	t.Helper()
	c.Await("all members to take the token", func(ctx context.Context) bool {
		for _, address := range c.APIs {
			got, err := try(ctx, "GET", "http://"+address+"/v1/nodes?consistency=stale", nil, "Authorization", "Bearer "+token)
			if err != nil || got.status != http.StatusOK {
				return false
			}
		}
		return reached()
	})
}
