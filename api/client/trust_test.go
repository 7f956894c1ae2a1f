package client

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/pki"
	"github.com/stead-io/stead/tests/authority"
)

// TestWhoIsNotTrusted: a client that has to do with TLS and cannot show or believe a certificate says
// so, at once, and shows its token to members alone.
func TestWhoIsNotTrusted(t *testing.T) {
	ours, foreign := authority.New(t), authority.New(t)
	alone, err := transport.LoadTLS(transport.Files{CA: ours.Folder + "/" + pki.CAName}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	serve := func(security transport.Security) string {
		t.Helper()
		listener, err := security.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			shown <- r.Header.Get("Authorization")
			w.Header().Set("Content-Type", api.TypeJSON)
			_, _ = w.Write([]byte("{}"))
		}))
		_ = server.Listener.Close()
		server.Listener = listener
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		server.Start()
		t.Cleanup(server.Close)
		return listener.Addr().String()
	}
	member, node := serve(ours.Security(transport.RoleMember, "c1")), serve(ours.Security(transport.RoleNode, "n1"))
	f := func(security transport.Security, address string, trusted bool) {
		t.Helper()
		c, err := New(Config{Members: []string{address}, Security: security, FailFast: true, Token: func() string { return "secret" }})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Cluster(t.Context())
		if errors.Is(err, ErrUntrusted) == trusted || (err == nil) != trusted || !trusted && !errors.Is(err, ErrUnreachable) {
			t.Errorf("%v", err)
		}
		got := ""
		if len(shown) > 0 {
			got = <-shown
		}
		if (got == "Bearer secret") != trusted {
			t.Errorf("shown: %q", got)
		}
	}
	operator := ours.Security(transport.RoleOperator, "ann")
	f(operator, member, true)
	f(operator, node, false)
	f(foreign.Security(transport.RoleOperator, "ann"), member, false)
	f(transport.Security{TLS: alone}, member, false)
	f(transport.Security{}, member, false)
}
