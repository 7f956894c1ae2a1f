package doctor

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
)

// Limits of an examination.
const (
	askTimeout  = 3 * time.Second  // one question to one process
	dialTimeout = 2 * time.Second  // one connection
	dialsMax    = 32               // at a time
	wholeMax    = 30 * time.Second // the whole
	changesRead = 50               // of history, newest first
)

// Asker asks one control-plane member.
type Asker interface {
	Cluster(context.Context) (api.Cluster, error)
	Nodes(context.Context) (api.NodeList, error)
	Proxies(context.Context) (api.ProxyList, error)
	Changes(ctx context.Context, before api.ChangeID, limit int) (api.ChangeList, error)
	Metrics(context.Context) ([]byte, error)
	Close()
}

// Config says where to begin, and how to reach others.
type Config struct {
	// Members are control APIs to begin with, as base URLs; what they name is asked as well.
	Members []string
	// Ask opens the way to one member, given as base URL.
	Ask func(address string) (Asker, error)
	// Metrics reads what a proxy or node exports at an address; where there is TLS it must be who it is taken for.
	Metrics func(ctx context.Context, who transport.Identity, address string) ([]byte, error)
	// Dial connects to an address and hangs up.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Gather asks every process there is, within wholeMax. The context should ask for stale answers: each
// member's own.
func Gather(ctx context.Context, config Config) *Facts {
	ctx, cancel := context.WithTimeout(ctx, wholeMax)
	defer cancel()
	g := &gatherer{Config: config, asked: map[string]*Member{}}
	g.askMembers(ctx, config.Members)
	facts := &Facts{Cluster: g.newest()}
	if facts.Cluster == nil {
		facts.Silence, facts.Unknown = g.silence()
		return facts
	}
	facts.Members = g.membersOf(ctx, facts.Cluster)
	facts.Cluster = g.newest()
	facts.Apart = g.apart(facts.Cluster)
	g.askCluster(ctx, facts)
	g.askProxies(ctx, facts)
	g.dialAll(ctx, facts)
	g.askNodes(ctx, facts)
	return facts
}

type gatherer struct {
	Config
	mu    sync.Mutex
	asked map[string]*Member // by base URL
}

// askMembers asks those not asked yet, all at once.
func (g *gatherer) askMembers(ctx context.Context, bases []string) {
	var asking sync.WaitGroup
	for _, base := range bases {
		if g.asked[base] == nil {
			member := &Member{}
			g.asked[base] = member
			asking.Go(func() { g.askMember(ctx, base, member) })
		}
	}
	asking.Wait()
}

func (g *gatherer) askMember(ctx context.Context, base string, member *Member) {
	member.Err = g.with(ctx, base, func(ctx context.Context, asker Asker) error {
		begin := time.Now()
		cluster, err := asker.Cluster(ctx)
		if err != nil {
			return err
		}
		took := time.Since(begin)
		member.Own = &cluster
		member.Ahead, member.Unsure = cluster.Time.Sub(begin.Add(took/2)), took/2
		member.Series = read(asker.Metrics(ctx))
		return nil
	})
}

// with opens the way to a process for one question.
func (g *gatherer) with(ctx context.Context, base string, ask func(context.Context, Asker) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asker, err := g.Ask(base)
	if err != nil {
		return err
	}
	defer asker.Close()
	return ask(ctx, asker)
}

// newest is the answer of the member that has applied most: of those that know a leader, if there are.
func (g *gatherer) newest() (best *api.Cluster) {
	later := func(a, b *api.Cluster) bool {
		if (a.Leader == "") != (b.Leader == "") {
			return a.Leader != ""
		}
		return a.Version.Compare(b.Version) > 0 || a.Version == b.Version && a.Term > b.Term
	}
	for _, member := range g.asked {
		if member.Own != nil && (best == nil || later(member.Own, best)) {
			best = member.Own
		}
	}
	return best
}

// silence says why nobody answered, and whether somebody would, asked by another.
func (g *gatherer) silence() (why string, unknown bool) {
	var reasons []string
	for base, member := range g.asked {
		reasons = append(reasons, base+": "+member.Err.Error())
		code := api.CodeOf(member.Err)
		unknown = unknown || errors.Is(member.Err, client.ErrUntrusted) || code == api.CodeUnauthenticated || code == api.CodeForbidden
	}
	slices.Sort(reasons)
	return strings.Join(reasons, "; "), unknown
}

// membersOf asks those whom the cluster lists.
func (g *gatherer) membersOf(ctx context.Context, cluster *api.Cluster) []Member {
	var bases []string
	for _, listed := range cluster.Members {
		bases = append(bases, listed.API)
	}
	g.askMembers(ctx, bases)
	var members []Member
	for _, listed := range cluster.Members {
		member := *g.asked[listed.API]
		member.Member = listed
		members = append(members, member)
	}
	return members
}

// apart are those whose control plane is another than the cluster's. Members are told by their ids: one
// may be asked at another address than it tells others.
func (g *gatherer) apart(cluster *api.Cluster) []Apart {
	listed := map[api.MemberID]bool{}
	for _, member := range cluster.Members {
		listed[member.ID] = true
	}
	var others []Apart
	for _, base := range slices.Sorted(maps.Keys(g.asked)) {
		own := g.asked[base].Own
		shares := own == nil || slices.ContainsFunc(own.Members, func(member api.Member) bool { return listed[member.ID] })
		if !shares && len(own.Members) > 0 {
			others = append(others, Apart{base, own})
		}
	}
	return others
}

// askCluster asks members for nodes, history and proxies until one answers each.
func (g *gatherer) askCluster(ctx context.Context, facts *Facts) {
	for _, member := range leaderFirst(facts.Members) {
		if member.Err != nil {
			continue
		}
		_ = g.with(ctx, member.API, func(ctx context.Context, asker Asker) error { // what is missing is reported as such
			if nodes, err := asker.Nodes(ctx); facts.Nodes == nil && err == nil {
				facts.Nodes = &nodes
			}
			if changes, err := asker.Changes(ctx, 0, changesRead); facts.Changes == nil && err == nil {
				facts.Changes = changes.Changes
			}
			if facts.Cluster.Leader == "" {
				return nil // nobody knows the fleet now
			}
			if proxies, err := asker.Proxies(ctx); facts.Proxies == nil && err == nil {
				facts.Proxies = &proxies
			}
			return nil
		})
		if facts.Nodes != nil && facts.Changes != nil && facts.Proxies != nil {
			return
		}
	}
}

func leaderFirst(members []Member) []Member {
	ordered := slices.Clone(members)
	slices.SortStableFunc(ordered, func(a, b Member) int {
		switch {
		case a.Leader == b.Leader:
			return 0
		case a.Leader:
			return -1
		default:
			return 1
		}
	})
	return ordered
}

// askProxies learns what each proxy that beats runs.
func (g *gatherer) askProxies(ctx context.Context, facts *Facts) {
	if facts.Proxies == nil {
		return
	}
	var asking sync.WaitGroup
	turns := make(chan struct{}, dialsMax)
	for _, proxy := range facts.Proxies.Proxies {
		if proxy.Admin == "" || proxy.Status != api.ProxyUp {
			continue
		}
		asking.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			who := transport.Identity{Role: transport.RoleProxy, Name: string(proxy.ID)}
			if found := g.metrics(ctx, who, api.HostPort(proxy.Admin)).build(); found != "" {
				g.mu.Lock()
				defer g.mu.Unlock()
				facts.Builds = append(facts.Builds, Build{"proxy " + string(proxy.ID), found})
			}
		})
	}
	asking.Wait()
	slices.SortFunc(facts.Builds, func(a, b Build) int { return strings.Compare(a.Process, b.Process) })
}

// dialAll connects to every address that members, nodes and proxies told others.
func (g *gatherer) dialAll(ctx context.Context, facts *Facts) {
	for _, member := range facts.Members {
		facts.Ports = append(facts.Ports, Port{Owner: "Raft of member " + member.Label(), Address: member.Raft})
	}
	if facts.Nodes != nil {
		for _, node := range facts.Nodes.Nodes {
			facts.Ports = append(facts.Ports, Port{Owner: "node " + string(node.ID), Address: node.Address})
		}
	}
	if facts.Proxies != nil {
		for _, proxy := range facts.Proxies.Proxies {
			facts.Ports = append(facts.Ports, Port{Owner: "proxy " + string(proxy.ID), Address: proxy.Address})
			if proxy.Admin != "" {
				facts.Ports = append(facts.Ports, Port{Owner: "admin port of proxy " + string(proxy.ID), Address: proxy.Admin})
			}
		}
	}
	var dialling sync.WaitGroup
	turns := make(chan struct{}, dialsMax)
	for i := range facts.Ports {
		dialling.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			facts.Ports[i].Err = g.dial(ctx, api.HostPort(facts.Ports[i].Address))
		})
	}
	dialling.Wait()
}

func (g *gatherer) dial(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := g.Dial(ctx, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// askNodes learns which nodes are short of disk. Only those with managed state keep a reserve of it, and of those only
// services that export metrics at their own port tell.
func (g *gatherer) askNodes(ctx context.Context, facts *Facts) {
	facts.NodesFull = map[api.NodeID]bool{}
	if facts.Nodes == nil || facts.Cluster.Settings.State != api.StateManaged {
		return
	}
	var asking sync.WaitGroup
	turns := make(chan struct{}, dialsMax)
	for _, node := range facts.Nodes.Nodes {
		if node.Status == api.NodeDown {
			continue
		}
		asking.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			who := transport.Identity{Role: transport.RoleNode, Name: string(node.ID)}
			if full, tells := g.metrics(ctx, who, api.HostPort(node.Address))["stead_node_disk_full"]; tells {
				g.mu.Lock()
				defer g.mu.Unlock()
				facts.NodesFull[node.ID] = full != 0
			}
		})
	}
	asking.Wait()
}

// metrics reads those of a process that is no member; none, if it does not show them. Whether it can be reached is
// checked by itself.
func (g *gatherer) metrics(ctx context.Context, who transport.Identity, address string) Series {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return read(g.Metrics(ctx, who, address))
}

// read takes metrics apart, as far as they are such.
func read(text []byte, err error) Series {
	series := Series{}
	if err != nil {
		return series
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if end < 0 || line[0] == '#' {
			continue
		}
		if value, err := strconv.ParseFloat(line[end+1:], 64); err == nil {
			series[line[:end]] = value
		}
	}
	return series
}
