// Package dataplane is the proxy: it takes a request, finds its key, and passes it to the node that
// holds the key's slot.
//
// It owns the composition of its parts and the course of one request: admit, aim, deliver, relay.
// Parsing, keys, routes and connections are its parts'. It never decides who owns a slot: health and
// failures decide only how soon a request is given up. Its invariant: a request goes to no address
// but those in the ring, and runs at most once unless HTTP, or a node's word that it did not run,
// allows more.
package dataplane

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/inbound"
	"github.com/stead-io/stead/dataplane/routing"
)

// control is what a proxy needs of the control plane.
type control interface {
	routing.Control
	ProxyBeat(context.Context, api.ProxyID, api.ProxyBeat) (api.ProxyBeaten, error)
	Close()
}

// Proxy is a running proxy. Close ends it.
type Proxy struct {
	config  Config
	logger  *slog.Logger
	control control
	routes  *routing.Follower
	nodes   *forward.Transport
	server  *inbound.Server
	metrics *metrics
	advance atomic.Uint64 // takes turns among nodes for requests without a key

	address, adminAddress string
	admin                 *http.Server
	tasks                 sync.WaitGroup // admin port and beats
	stopBeats             context.CancelFunc

	beating   sync.Mutex // held over a beat: one that is under way must not undo the last one
	leaving   atomic.Bool
	distrust  atomic.Int64  // when a certificate was last complained of, nanoseconds
	forced    chan struct{} // closed when those under way are given up
	forceOnce sync.Once
	closeOnce sync.Once
	closeErr  error
	done      chan struct{}
	failMu    sync.Mutex
	failure   error
}

// Open starts a proxy. It returns when the proxy serves, with a ring or while it still waits for
// one; it fails if the cluster's ring is not one it may route by.
func Open(config Config) (*Proxy, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open proxy: %w", err)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	members, err := client.New(client.Config{
		Members: config.Control, Security: config.Security, Token: config.Token, Logger: config.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open proxy: %w", err)
	}
	return open(config, members)
}

func open(config Config, members control) (*Proxy, error) {
	if config.ID == "" && config.Security.TLS != nil {
		config.ID = api.ProxyID(config.Security.TLS.Identity().Name)
	}
	if config.ID == "" {
		config.ID = drawID()
	}
	p := &Proxy{
		config: config, logger: config.Logger, control: members,
		forced: make(chan struct{}), done: make(chan struct{}),
	}
	if err := p.start(); err != nil {
		members.Close()
		return nil, fmt.Errorf("cannot open proxy: %w", err)
	}
	return p, nil
}

// start brings the parts up, listeners first: what can fail fails before anything runs.
func (p *Proxy) start() error {
	public, err := p.config.SecurityClients.Listen(p.config.Listen)
	if errors.Is(err, transport.ErrExposed) {
		err = fmt.Errorf("%w; for the clients' port alone it is --insecure-clients", err)
	}
	if err != nil {
		return err
	}
	admin, err := p.config.Security.Listen(p.config.AdminListen)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	p.routes, err = routing.Follow(context.Background(), routing.Config{
		Control: p.control, DataDir: p.config.DataDir, KeyRules: p.config.KeyRules,
		FirstWait: p.config.FirstWait, Fatal: p.fail, Logger: p.logger,
	})
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	p.nodes = forward.New(forward.Config{
		Dial: p.dialNode, IdleMax: p.config.UpstreamIdleMax, IdleTimeout: p.config.UpstreamIdle,
	})
	p.metrics = newMetrics(p)
	p.address, p.adminAddress = public.Addr().String(), admin.Addr().String()
	p.server = inbound.Serve(public, inbound.Config{
		HeadMax: p.config.HeadMax, BodyMax: p.config.BodyMax, HeadTimeout: p.config.HeadTimeout, IdleTimeout: p.config.IdleTimeout,
		StreamTimeout: p.config.StreamTimeout, Connections: p.config.Connections,
		Handler: p, Logger: p.logger,
	})
	p.startTasks(admin)
	p.logger.Info("proxy is serving", "id", p.config.ID, "address", p.address, "admin", p.adminAddress)
	return nil
}

func (p *Proxy) startTasks(admin net.Listener) {
	p.admin = &http.Server{
		Handler: p.adminHandler(), ReadHeaderTimeout: p.config.HeadTimeout, IdleTimeout: p.config.IdleTimeout,
		ErrorLog: slog.NewLogLogger(p.logger.Handler(), slog.LevelDebug),
	}
	p.tasks.Go(func() {
		if err := p.admin.Serve(admin); !errors.Is(err, http.ErrServerClosed) {
			p.fail(fmt.Errorf("cannot serve the admin port: %w", err))
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.stopBeats = cancel
	p.tasks.Go(func() { p.beat(ctx) })
}

// ID is the proxy's name in the fleet view.
func (p *Proxy) ID() api.ProxyID { return p.config.ID }

// Addr is the host:port that clients are served at.
func (p *Proxy) Addr() string { return p.address }

// AdminAddr is the host:port of the admin port.
func (p *Proxy) AdminAddr() string { return p.adminAddress }

// Done is closed when the proxy has been closed, or cannot go on; Err then says why.
func (p *Proxy) Done() <-chan struct{} { return p.done }

// Err is why the proxy cannot go on, nil while it can and after Close.
func (p *Proxy) Err() error {
	p.failMu.Lock()
	defer p.failMu.Unlock()
	return p.failure
}

func (p *Proxy) fail(err error) {
	p.failMu.Lock()
	defer p.failMu.Unlock()
	if p.failure == nil {
		p.failure = err
		close(p.done)
	}
}

// Close drains the proxy: it says that it leaves, serves on for DrainDelay, stops listening, finishes the
// requests under way until the context ends, and gives up those that are left.
func (p *Proxy) Close(ctx context.Context) error {
	p.closeOnce.Do(func() {
		p.closeErr = p.close(ctx)
		p.failMu.Lock()
		defer p.failMu.Unlock()
		if p.failure == nil {
			close(p.done)
		}
	})
	return p.closeErr
}

func (p *Proxy) close(ctx context.Context) error {
	p.leaving.Store(true)
	p.beatLeaving(ctx)
	p.serveOn(ctx)
	stop := context.AfterFunc(ctx, p.force)
	err := p.server.Drain(ctx)
	stop()
	p.force()
	p.stopBeats()
	if shut := p.admin.Shutdown(ctx); shut != nil {
		err = errors.Join(err, p.admin.Close())
	}
	p.tasks.Wait()
	p.routes.Close()
	p.control.Close()
	if err != nil {
		return fmt.Errorf("cannot drain proxy: %w", err)
	}
	return nil
}

// serveOn serves as before, for those who were told of this proxy and are yet to learn that it leaves.
func (p *Proxy) serveOn(ctx context.Context) {
	if p.config.DrainDelay <= 0 || p.Err() != nil {
		return
	}
	p.logger.Info("leaving; still serving those who were sent here", "for", p.config.DrainDelay)
	delay := time.NewTimer(p.config.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-p.done: // it failed meanwhile
	case <-ctx.Done():
	}
}

// force gives up what is under way.
func (p *Proxy) force() {
	p.forceOnce.Do(func() {
		close(p.forced)
		p.nodes.Close()
	})
}

// distrustLogEvery keeps a node with a wrong certificate from filling the log.
const distrustLogEvery = 10 * time.Second

// noteDistrust says why a node that can be reached is not: clients are told only that it is away.
func (p *Proxy) noteDistrust(node api.NodeID, err error) {
	if !errors.Is(err, transport.ErrDistrust) && !transport.Refused(err) {
		return
	}
	now, last := time.Now().UnixNano(), p.distrust.Load()
	if now-last >= int64(distrustLogEvery) && p.distrust.CompareAndSwap(last, now) {
		p.logger.Warn("node and proxy do not trust each other", "node", node, "error", err)
	}
}

// dialNode connects to a node at an address, and to no other that may be there now.
func (p *Proxy) dialNode(ctx context.Context, to forward.Target) (net.Conn, error) {
	return p.config.Security.Dial(ctx, to.Address, transport.Identity{Role: transport.RoleNode, Name: string(to.Node)})
}

func drawID() api.ProxyID {
	var octets [4]byte
	_, _ = rand.Read(octets[:])
	return api.ProxyID("proxy-" + hex.EncodeToString(octets[:]))
}
