package controlplane

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
)

// TestClusterWithCertificates: members found a cluster, replicate and pass requests on in TLS, for whom
// they were asked by; the leader checks static nodes in TLS, and takes no other node for them.
func TestClusterWithCertificates(t *testing.T) {
	issue := authority.New(t).Security
	c := &cluster{t: t, folder: t.TempDir()}
	t.Cleanup(func() {
		for i := range c.members {
			c.stop(i)
		}
	})
	for i := range c.members {
		config := c.config(i)
		config.Security = issue(transport.RoleMember, config.Name)
		member, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		c.members[i] = member
	}
	c.await("a leader", func() bool { return c.leader() != nil })

	healthy := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	address := serveTLS(t, issue(transport.RoleNode, "n1"), healthy)
	for i, member := range c.members {
		operator, err := client.New(client.Config{
			Members: []string{member.APIAddr()}, Actor: "me", Security: issue(transport.RoleOperator, "ann"),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer operator.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		registration := registration([]string{"n1", "n2", "n3"}[i], 1+i)
		if i < 2 { // n2 gives an address at which n1 answers, by another name for the same place
			registration.Address = []string{address, "localhost" + address[len("127.0.0.1"):]}[i]
			registration.Check = &api.Check{HTTP: "/", Interval: api.Duration(200 * time.Millisecond), Failures: 1}
		}
		registered, err := operator.Register(ctx, registration)
		if err != nil {
			t.Fatal(err)
		}
		change, err := operator.Change(ctx, registered.Change)
		if err != nil || change.Actor != "operator ann (me)" {
			t.Errorf("through member %d: %+v, %v", i, change.Actor, err)
		}
	}
	c.await("the impostor to be down", func() bool {
		node := c.members[0].State().Node("n2")
		return node != nil && node.Status == api.NodeDown
	})
	if got := c.members[0].State().Node("n1").Status; got != api.NodeUp {
		t.Errorf("n1 is %s", got)
	}
}

// serveTLS serves with a certificate and returns where.
func serveTLS(t *testing.T, security transport.Security, handler http.Handler) string {
	t.Helper()
	listener, err := security.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.Start()
	t.Cleanup(server.Close)
	return listener.Addr().String()
}

func TestMemberNeedsItsOwnCertificate(t *testing.T) {
	issue := authority.New(t).Security
	config := NewConfig()
	config.DataDir = t.TempDir()
	for _, who := range []transport.Identity{{Role: transport.RoleMember, Name: "c2"}, {Role: transport.RoleNode, Name: "c1"}} {
		config.Security = issue(who.Role, who.Name)
		if err := config.Validate(); err == nil {
			t.Errorf("c1 runs as %s", who)
		}
	}
}
