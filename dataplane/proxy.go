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
	"github.com/stead-io/stead/dataplane/accesslog"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/h2c"
	"github.com/stead-io/stead/dataplane/inbound"
	"github.com/stead-io/stead/dataplane/mux"
	"github.com/stead-io/stead/dataplane/routing"
	"github.com/stead-io/stead/dataplane/socket"
	"github.com/stead-io/stead/dataplane/tracing"
)

// control is what a proxy needs of the control plane.
type control interface {
	routing.Control
	ProxyBeat(context.Context, api.ProxyID, api.ProxyBeat) (api.ProxyBeaten, error)
	Close()
}

// Proxy is a running proxy. Close ends it.
type Proxy struct {
	config   Config
	logger   *slog.Logger
	control  control
	routes   *routing.Follower
	nodes    *forward.Transport
	bodies   *forward.Room  // for long bodies that may be sent again
	muxed    *mux.Transport // nil where all goes by HTTP/1.1
	h2c      *h2c.Transport // to nodes that are spoken to in HTTP/2
	circuits circuits
	troubles troubles
	server   *inbound.Server
	metrics  *metrics
	access   *accesslog.Log  // nil: off
	tracer   *tracing.Tracer // nil: off
	trails   trails
	unnamed  atomic.Uint64 // connections closed for want of a PROXY header
	tunnels  *tunnels
	pipes    *socket.Pipes // of long bodies
	advance  atomic.Uint64 // takes turns among nodes for requests without a key

	changed    atomic.Pointer[Config] // the configuration since it was reloaded; see settings
	configured configured

	public, adminDoor     net.Listener
	address, adminAddress string
	admin                 *http.Server
	asking                asking         // at the admin port
	tasks                 sync.WaitGroup // admin port and beats
	stopBeats             context.CancelFunc

	beating   sync.Mutex // held over a beat: one that is under way must not undo the last one
	leaving   atomic.Bool
	yielded   atomic.Bool   // another process has taken over
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
	if config.Predecessor != nil {
		config.ID = config.Predecessor.ID
	}
	if config.ID == "" && config.Security.TLS != nil {
		config.ID = api.ProxyID(config.Security.TLS.Identity().Name)
	}
	if config.ID == "" {
		config.ID = drawID()
	}
	p := &Proxy{
		config: config, logger: config.Logger, control: members, trails: newTrails(config.Trail),
		bodies: forward.NewRoom(config.BodiesHeld), forced: make(chan struct{}), done: make(chan struct{}), tunnels: newTunnels(config.OnMove),
		pipes: socket.NewPipes(),
	}
	var err error
	if p.access, err = accesslog.Open(config.AccessLog, config.Logger); err == nil {
		p.tracer, err = tracing.Open(config.Tracing, string(config.ID), config.Logger)
	}
	if err == nil {
		err = p.start()
	}
	if err != nil {
		members.Close()
		p.closeTracer(context.Background())
		return nil, fmt.Errorf("cannot open proxy: %w", errors.Join(err, p.closeLog(context.Background())))
	}
	return p, nil
}

// start brings the parts up, listeners first: what can fail fails before anything runs.
func (p *Proxy) start() error {
	public, admin, err := p.listen()
	if err != nil {
		return err
	}
	p.routes, err = routing.Follow(context.Background(), routing.Config{
		Control: p.control, DataDir: p.config.DataDir, KeyRules: p.config.KeyRules,
		FirstWait: p.config.FirstWait, Fatal: p.fail, Logger: p.logger,
	})
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	if p.config.Predecessor != nil && p.routes.Table() == nil {
		p.routes.Close()
		return errors.Join(errRingless, public.Close(), admin.Close())
	}
	p.public, p.adminDoor = public, admin
	p.nodes = forward.New(forward.Config{
		Dial: p.dialNode, IdleMax: p.config.UpstreamIdleMax, IdleTimeout: p.config.UpstreamIdle,
	})
	if p.config.Mux == MuxAuto {
		p.muxed = mux.New(mux.Config{Dial: p.dialNode, Connections: p.config.MuxConnections, Fallback: p.nodes})
	}
	p.h2c = h2c.New(h2c.Config{Dial: p.dialNode, Scheme: p.config.Security.Scheme(), Stats: &p.nodes.Stats})
	p.metrics = newMetrics(p)
	p.address, p.adminAddress = public.Addr().String(), admin.Addr().String()
	p.configured.take(p.config.Origin)
	p.checkFiles(p.config.Connections)
	p.server = inbound.Serve(public, p.inbound(&p.config))
	p.metrics.observeClients(p.server, p.config.SecurityClients.Encrypted())
	p.startTasks(admin)
	p.logger.Info("proxy is serving", "id", p.config.ID, "address", p.address, "admin", p.adminAddress)
	return nil
}

func (p *Proxy) startTasks(admin net.Listener) {
	p.admin = &http.Server{
		Handler: p.adminHandler(), ReadHeaderTimeout: p.config.HeadTimeout, IdleTimeout: p.config.IdleTimeout,
		ErrorLog: slog.NewLogLogger(p.logger.Handler(), slog.LevelDebug), ConnState: p.asking.note,
	}
	p.tasks.Go(func() {
		if err := p.admin.Serve(admin); !errors.Is(err, http.ErrServerClosed) && !p.yielded.Load() {
			p.fail(fmt.Errorf("cannot serve the admin port: %w", err))
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.stopBeats = cancel
	p.tasks.Go(func() { p.beat(ctx) })
	p.tasks.Go(func() { p.tunnels.heed(ctx, p.routes.Routes) })
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
// requests and tunnels under way until the context ends, and gives up those that are left.
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
	var err error
	if p.yielded.Load() {
		err = p.closeYielded(ctx)
	} else {
		err = p.drain(ctx)
	}
	p.force()
	p.stopBeats()
	if shut := p.admin.Shutdown(ctx); shut != nil {
		err = errors.Join(err, p.admin.Close())
	}
	p.tasks.Wait()
	p.routes.Close()
	p.control.Close()
	p.closeTracer(ctx)
	p.pipes.Close()
	err = errors.Join(err, p.closeLog(ctx))
	if err != nil {
		return fmt.Errorf("cannot drain proxy: %w", err)
	}
	return nil
}

func (p *Proxy) drain(ctx context.Context) error {
	p.leaving.Store(true)
	p.beatLeaving(ctx)
	p.serveOn(ctx)
	stop := context.AfterFunc(ctx, p.force)
	defer stop()
	defer p.tunnels.dismissBefore(ctx)()
	return p.server.Drain(ctx)
}

// serveOn serves as before, for those who were told of this proxy and are yet to learn that it leaves.
func (p *Proxy) serveOn(ctx context.Context) {
	while := p.settings().DrainDelay
	if while <= 0 || p.Err() != nil {
		return
	}
	p.logger.Info("leaving; still serving those who were sent here", "for", while)
	delay := time.NewTimer(while)
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
		p.tunnels.dismiss()
		if p.muxed != nil {
			p.muxed.Close()
		}
		p.h2c.Close()
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
	node := transport.Identity{Role: transport.RoleNode, Name: string(to.Node)}
	if address, h2c := api.CutH2C(to.Address); h2c {
		return p.config.Security.Dial(ctx, address, node, transport.ProtocolH2)
	}
	return p.config.Security.Dial(ctx, to.Address, node)
}

func drawID() api.ProxyID {
	var octets [4]byte
	_, _ = rand.Read(octets[:])
	return api.ProxyID("proxy-" + hex.EncodeToString(octets[:]))
}
