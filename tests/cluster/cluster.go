// Package cluster runs whole clusters of real processes for tests: the stead binary, sockets on
// loopback, data on disk. It owns processes and ports, no assertions about what they do.
package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
)

// Options say what a cluster is made of.
type Options struct {
	Members, Proxies, Nodes int
	ControlArgs             []string // added to each member's flags
	NodeArgs                []string // added to each node's flags
	MemberDisk              string   // size of each member's own disk, such as 16m; "": one for all
	// DNS has every member answer it, and gives each proxy an address of its own: 127.0.0.11, .12 …
	DNS bool
	// TLS gives every process a certificate, and the client an operator's.
	TLS bool
	// Token is shown by the client and the commands.
	Token string
	// State is what kind of state the service keeps, none unless set; Replicas how many a slot has, 1 unless set.
	State    api.State
	Replicas int
	// Binary is of another build of stead; empty: this one.
	Binary string
}

// operatorName is who the client and the commands of a cluster with TLS are.
const operatorName = "ann"

// Cluster is a running cluster. Processes are addressed by their place, from 0.
type Cluster struct {
	t       testing.TB
	dir     string
	binary  string
	options Options
	issued  map[transport.Identity]transport.Files

	Members, Proxies, Nodes []*Process
	APIs                    []string // of the members, host:port
	DNSAddrs                []string // of the members, host:port, with Options.DNS
	ProxyAddrs, AdminAddrs  []string
	NodeAddrs               []string
	Client                  *client.Client
}

// Start runs a cluster and waits until it serves.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	c := &Cluster{t: t, dir: t.TempDir(), binary: options.Binary, options: options, issued: make(map[transport.Identity]transport.Files)}
	if c.binary == "" {
		c.binary = Binary(t)
	}
	c.initPKI()
	for range options.Members {
		c.APIs = append(c.APIs, FreeAddress(t))
		if options.DNS {
			c.DNSAddrs = append(c.DNSAddrs, FreeAddress(t))
		}
	}
	for i := range options.Members {
		if options.MemberDisk != "" {
			SmallDisk(t, c.MemberDir(i), options.MemberDisk)
		}
		c.Members = append(c.Members, Run(t, fmt.Sprintf("c%d", i+1), c.binary, c.memberArgs(i)...))
	}
	c.Connect()
	c.Await("a leader", func(ctx context.Context) bool {
		cluster, err := c.Client.Cluster(ctx)
		return err == nil && cluster.Leader != ""
	})
	for range options.Nodes {
		c.AddNode()
	}
	for range options.Proxies {
		c.AddProxy()
	}
	if options.Nodes > 0 {
		c.AwaitAssigned()
	}
	for i := range c.Proxies {
		c.AwaitProxy(i)
	}
	return c
}

// MemberDir is a member's data folder.
func (c *Cluster) MemberDir(i int) string { return filepath.Join(c.dir, fmt.Sprintf("c%d", i+1)) }

func (c *Cluster) memberArgs(i int) []string {
	name := fmt.Sprintf("c%d", i+1)
	args := []string{"control", "--name", name, "--data-dir", c.MemberDir(i),
		"--listen", c.APIs[i], "--raft-listen", "127.0.0.1:0",
		"--join", strings.Join(c.APIs, ","), "--expect", fmt.Sprint(len(c.APIs))}
	args = append(args, c.stateArgs()...)
	if c.options.DNS {
		args = append(args, "--dns-listen", c.DNSAddrs[i])
	}
	args = append(args, c.tlsArgs(transport.RoleMember, name)...)
	return append(args, c.options.ControlArgs...)
}

func (c *Cluster) stateArgs() []string {
	return []string{"--state", string(cmp.Or(c.options.State, api.StateNone)), "--replicas", fmt.Sprint(max(1, c.options.Replicas))}
}

// AddMember starts a member that joins the first one, with a folder of its own. It takes part once it is
// asked for. It counts among Members and APIs, so that it is asked like the others.
func (c *Cluster) AddMember(name string, extra ...string) *Process {
	c.t.Helper()
	address := FreeAddress(c.t)
	args := append([]string{"control", "--name", name, "--data-dir", filepath.Join(c.dir, name),
		"--listen", address, "--raft-listen", "127.0.0.1:0", "--join", c.APIs[0]}, append(c.stateArgs(), c.options.ControlArgs...)...)
	member := Run(c.t, name, Binary(c.t), append(args, extra...)...)
	c.Members, c.APIs = append(c.Members, member), append(c.APIs, address)
	return member
}

// Connect makes the client anew, for the members' present addresses.
func (c *Cluster) Connect() {
	c.t.Helper()
	made, err := client.New(client.Config{Members: c.APIs, Actor: "test", Security: c.Security(transport.RoleOperator, operatorName), Token: func() string { return c.options.Token }})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(made.Close)
	c.Client = made
}

// RestartMembersElsewhere stops all members and starts them on other ports.
func (c *Cluster) RestartMembersElsewhere() {
	c.t.Helper()
	for i, member := range c.Members {
		member.Stop()
		c.APIs[i] = FreeAddress(c.t)
	}
	for i, member := range c.Members {
		member.Start(c.memberArgs(i)...)
	}
	c.Connect()
}

// AddNode starts one more node of the KV; extra flags follow those of Options.
func (c *Cluster) AddNode(extra ...string) *Process {
	c.t.Helper()
	i := len(c.Nodes)
	name, address := fmt.Sprintf("n%d", i+1), FreeAddress(c.t)
	args := []string{"node", "--id", name, "--listen", address,
		"--data-dir", filepath.Join(c.dir, name), "--control", strings.Join(c.APIs, ",")}
	args = append(args, c.tlsArgs(transport.RoleNode, name)...)
	args = append(append(args, c.options.NodeArgs...), extra...)
	node := Run(c.t, name, c.binary, args...)
	c.Nodes, c.NodeAddrs = append(c.Nodes, node), append(c.NodeAddrs, address)
	return node
}

// AddProxy starts one more proxy.
func (c *Cluster) AddProxy(extra ...string) *Process {
	c.t.Helper()
	i := len(c.Proxies)
	host := "127.0.0.1"
	if c.options.DNS {
		host = fmt.Sprintf("127.0.0.%d", 11+i)
	}
	c.ProxyAddrs, c.AdminAddrs = append(c.ProxyAddrs, FreeAddressOn(c.t, host)), append(c.AdminAddrs, FreeAddress(c.t))
	proxy := Run(c.t, fmt.Sprintf("p%d", i+1), c.binary, append(c.ProxyArgs(i), extra...)...)
	c.Proxies = append(c.Proxies, proxy)
	return proxy
}

// ProxyArgs are the flags of a proxy, with the members' present addresses.
func (c *Cluster) ProxyArgs(i int) []string {
	name := fmt.Sprintf("p%d", i+1)
	args := []string{"proxy", "--id", name, "--listen", c.ProxyAddrs[i], "--admin-listen", c.AdminAddrs[i],
		"--data-dir", filepath.Join(c.dir, name), "--control", strings.Join(c.APIs, ",")}
	return append(args, c.tlsArgs(transport.RoleProxy, name)...)
}

// Await polls until reached says so; each attempt has a second.
func (c *Cluster) Await(what string, reached func(context.Context) bool) time.Duration {
	c.t.Helper()
	start := time.Now()
	for {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		done := reached(ctx)
		cancel()
		if done {
			return time.Since(start)
		}
		if time.Since(start) > Patience {
			c.t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// AwaitAssigned waits until every slot has a node and all started nodes are registered.
func (c *Cluster) AwaitAssigned() {
	c.t.Helper()
	c.Await("all slots assigned", func(ctx context.Context) bool {
		cluster, err := c.Client.Cluster(ctx)
		return err == nil && cluster.Unassigned == 0 && cluster.Nodes.Up >= len(c.Nodes)
	})
}

// AwaitProxy waits until a proxy is ready and routes by the newest ring.
func (c *Cluster) AwaitProxy(i int) {
	c.t.Helper()
	client := c.adminClient()
	c.Await(fmt.Sprintf("proxy %d", i+1), func(ctx context.Context) bool {
		return statusOf(ctx, client, c.Scheme()+"://"+c.AdminAddrs[i]+"/readyz") == http.StatusOK
	})
	c.AwaitConverged()
}

// AwaitConverged waits until all live proxies route by the newest ring.
func (c *Cluster) AwaitConverged() {
	c.t.Helper()
	c.Await("the proxies to catch up", func(ctx context.Context) bool {
		list, err := c.Client.Proxies(ctx)
		if err != nil {
			return false
		}
		caughtUp := 0
		for _, proxy := range list.Proxies {
			if proxy.Status == "up" && proxy.Version == list.Version {
				caughtUp++
			}
		}
		return caughtUp >= len(c.Proxies)
	})
}

func statusOf(ctx context.Context, client *http.Client, url string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// Leader finds the member that leads.
func (c *Cluster) Leader() int {
	c.t.Helper()
	leader := -1
	c.Await("a leader", func(ctx context.Context) bool {
		cluster, err := c.Client.Cluster(ctx)
		if err != nil {
			return false
		}
		for _, member := range cluster.Members {
			for i, address := range c.APIs {
				if member.Leader && member.API == c.Scheme()+"://"+address {
					leader = i
				}
			}
		}
		return leader >= 0
	})
	return leader
}

// Static registers a node that is not a process of the cluster.
func (c *Cluster) Static(id, address string) api.Registered {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), Patience)
	defer cancel()
	answer, err := c.Client.Register(ctx, api.Registration{ID: api.NodeID(id), Address: address, Lease: api.LeaseNone})
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}
