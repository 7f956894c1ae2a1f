package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/controlplane/dns"
)

const (
	readyEvery   = 50 * time.Millisecond // between looks
	probeTimeout = time.Second
	probeBodyMax = 64 << 10 // bytes
)

// errInterrupted says that the caller gave up first.
var errInterrupted = errors.New("interrupted before the cluster was ready")

// awaitReady returns when the whole cluster serves, or says what it waited for in vain.
func (c *Cluster) awaitReady(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, readyPatience)
	defer cancel()
	control, err := client.New(client.Config{Members: c.addresses(roleControl)})
	if err != nil {
		return err
	}
	defer control.Close()
	probe := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	look := time.NewTicker(readyEvery)
	defer look.Stop()
	for {
		missing := c.missing(ctx, control, probe)
		if missing == "" {
			return nil
		}
		for _, p := range c.processes {
			if p.hasEnded() {
				return diedEarly(p)
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
		switch {
		case parent.Err() != nil:
			return errInterrupted
		case ctx.Err() != nil:
			return fmt.Errorf("cannot start the cluster: after %v still waiting for %s", readyPatience, missing)
		}
	}
}

// missing names the first thing that is not ready: members and proxies say so themselves, each node
// is up where it was started, every slot has a node, and every proxy routes by a ring that says so.
func (c *Cluster) missing(ctx context.Context, control *client.Client, probe *http.Client) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for _, p := range c.processes {
		if at := p.spec.readyAt(); at != "" && !ready(ctx, probe, at) {
			return p.spec.id
		}
	}
	if missing := c.missingNode(ctx, control); missing != "" {
		return missing
	}
	cluster, err := control.Cluster(ctx)
	if err != nil || cluster.Leader == "" {
		return "a leader"
	}
	if cluster.Unassigned > 0 && c.config.Nodes > 0 {
		return fmt.Sprintf("%d slots to be assigned", cluster.Unassigned)
	}
	if missing := c.missingProxy(ctx, control, cluster.Version); missing != "" {
		return missing
	}
	return c.missingName(ctx)
}

// missingName: every member's DNS knows every proxy.
func (c *Cluster) missingName(ctx context.Context) string {
	for _, p := range c.processes {
		if p.spec.role != roleControl {
			continue
		}
		_, found, _ := resolver(p.spec.dns).LookupSRV(ctx, "http", "tcp", dns.ZoneDefault)
		if len(found) < c.config.Proxies {
			return "the DNS of " + p.spec.id
		}
	}
	return ""
}

// resolver asks one DNS server.
func resolver(address string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

func (c *Cluster) missingNode(ctx context.Context, control *client.Client) string {
	list, err := control.Nodes(ctx)
	if err != nil {
		return "the list of nodes"
	}
	up := map[string]string{}
	for _, node := range list.Nodes {
		if node.Status == api.NodeUp {
			up[string(node.ID)] = node.Address
		}
	}
	return c.firstWithout(roleNode, func(s spec) bool { return up[s.id] == s.address })
}

func (c *Cluster) missingProxy(ctx context.Context, control *client.Client, version api.Version) string {
	list, err := control.Proxies(ctx)
	if err != nil {
		return "the list of proxies"
	}
	current := map[string]bool{}
	for _, proxy := range list.Proxies {
		current[string(proxy.ID)] = proxy.Version.Compare(version) >= 0
	}
	return c.firstWithout(roleProxy, func(s spec) bool { return current[s.id] })
}

// firstWithout names the first process of a role that does not have what is asked for.
func (c *Cluster) firstWithout(role role, has func(spec) bool) string {
	for _, p := range c.processes {
		if p.spec.role == role && !has(p.spec) {
			return p.spec.id
		}
	}
	return ""
}

// readyAt is where a process says that it is ready; nodes say it through the control plane.
func (s spec) readyAt() string {
	switch s.role {
	case roleControl:
		return "http://" + s.address + "/readyz"
	case roleProxy:
		return "http://" + s.admin + "/readyz"
	default:
		return ""
	}
}

func ready(ctx context.Context, probe *http.Client, at string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return false
	}
	response, err := probe.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, probeBodyMax)
	return response.StatusCode == http.StatusOK
}
