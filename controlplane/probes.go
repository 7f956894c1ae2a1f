package controlplane

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/fsm"
)

// probes runs the checks of static nodes, one goroutine each, while this member leads.
type probes struct {
	security transport.Security
	report   func(api.NodeID, bool)
	running  map[api.NodeID]probe
	all      sync.WaitGroup
}

type probe struct {
	session api.SessionID // a new registration gets a new probe
	stop    context.CancelFunc
}

func newProbes(security transport.Security, report func(api.NodeID, bool)) *probes {
	return &probes{
		security: security,
		report:   report,
		running:  make(map[api.NodeID]probe),
	}
}

// follow starts and stops probes so that exactly the nodes with a check have one.
func (p *probes) follow(ctx context.Context, nodes []*fsm.Node) {
	wanted := make(map[api.NodeID]bool)
	for _, node := range nodes {
		if node.Registration.Check == nil {
			continue
		}
		id := node.Registration.ID
		wanted[id] = true
		if running, runs := p.running[id]; runs && running.session == node.Session {
			continue
		} else if runs {
			running.stop()
		}
		probing, stop := context.WithCancel(ctx)
		p.running[id] = probe{session: node.Session, stop: stop}
		p.all.Go(func() { p.probe(probing, node.Registration) })
	}
	for id, running := range p.running {
		if !wanted[id] {
			running.stop()
			delete(p.running, id)
		}
	}
}

func (p *probes) probe(ctx context.Context, node api.Registration) {
	every := time.NewTicker(time.Duration(node.Check.Interval))
	defer every.Stop()
	via := p.security.Transport(transport.Identity{Role: transport.RoleNode, Name: string(node.ID)})
	if _, h2c := api.CutH2C(node.Address); h2c {
		via = p.security.TransportH2(transport.Identity{Role: transport.RoleNode, Name: string(node.ID)})
	}
	via.DisableKeepAlives = true
	client := &http.Client{
		Transport: via,
		// An address is dialled as it stands; what it redirects to is none of ours.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for {
		healthy := p.healthy(ctx, client, node)
		if ctx.Err() != nil {
			return
		}
		p.report(node.ID, healthy)
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (p *probes) healthy(ctx context.Context, client *http.Client, node api.Registration) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(node.Check.Interval))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.security.Scheme()+"://"+api.HostPort(node.Address)+node.Check.HTTP, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode/100 == 2
}

func (p *probes) stop() {
	for _, running := range p.running {
		running.stop()
	}
	p.all.Wait()
}
