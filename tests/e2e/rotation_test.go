//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"os"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/cluster"
)

// TestCertificatesRotate: members, nodes and proxies get new certificates under load; no request fails,
// and the new ones are served, on whatever addresses.
func TestCertificatesRotate(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, Nodes: 2, TLS: true, ControlArgs: soon})
	ctx, stop := context.WithCancel(t.Context())
	type outcome struct {
		requests int
		failures []string
	}
	load := make(chan outcome)
	go func() {
		var o outcome
		defer func() { load <- o }()
		for ctx.Err() == nil || o.requests < 100 { // a slow machine takes longer for them
			got, err := try(context.WithoutCancel(ctx), "PUT", kvURL(c.ProxyAddrs[0], keyNumber(o.requests%500)), []byte("v"))
			if o.requests++; err != nil || got.status/100 != 2 {
				o.failures = append(o.failures, string(got.body))
			}
		}
	}()
	for _, who := range []transport.Identity{
		{Role: transport.RoleMember, Name: "c1"}, {Role: transport.RoleMember, Name: "c2"}, {Role: transport.RoleMember, Name: "c3"},
		{Role: transport.RoleNode, Name: "n1"}, {Role: transport.RoleNode, Name: "n2"}, {Role: transport.RoleProxy, Name: "p1"},
	} {
		replace(t, c, who)
		zone := "of-" + who.Name // moves no slot: a write may not survive that where nothing hands state over
		if _, err := c.Client.PatchNode(t.Context(), "n1", api.NodePatch{Zone: &zone}); err != nil {
			t.Errorf("a write while %s rotates: %v", who, err)
		}
	}
	for address, who := range map[string]transport.Identity{
		c.APIs[0]: {Role: transport.RoleMember, Name: "c1"}, c.NodeAddrs[1]: {Role: transport.RoleNode, Name: "n2"},
		c.AdminAddrs[0]: {Role: transport.RoleProxy, Name: "p1"},
	} {
		fresh := pair(t, c.Files(who.Role, who.Name))
		c.Await("the new certificate of "+who.String(), func(context.Context) bool {
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				return false
			}
			defer conn.Close()
			return conn.ConnectionState().PeerCertificates[0].Equal(fresh.Leaf)
		})
	}
	// Another leader: members dial each other anew.
	if err := c.Client.TransferLeader(t.Context(), ""); err != nil {
		t.Error(err)
	}
	stop()
	o := <-load
	t.Logf("%d requests while certificates were replaced", o.requests)
	if len(o.failures) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(o.failures), o.requests, o.failures[0])
	}
	c.RestartMembersElsewhere()
	c.Await("a write on other addresses", func(ctx context.Context) bool {
		zone := "elsewhere"
		_, err := c.Client.PatchNode(ctx, "n1", api.NodePatch{Zone: &zone})
		return err == nil
	})
}

// replace gives somebody a new certificate, file by file as a program that renews them would.
func replace(t *testing.T, c *cluster.Cluster, who transport.Identity) {
	t.Helper()
	old := c.Files(who.Role, who.Name)
	fresh := c.Reissue(who.Role, who.Name, t.TempDir())
	for from, to := range map[string]string{fresh.Key: old.Key, fresh.Cert: old.Cert} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
}
