package dataplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/api/tunnel"
	"github.com/stead-io/stead/dataplane/accesslog"
	"github.com/stead-io/stead/dataplane/tracing"
)

// Defaults of Config.
const (
	ListenDefault        = "127.0.0.1:8080"
	AdminListenDefault   = "127.0.0.1:8081"
	ControlDefault       = "127.0.0.1:7400"
	DeadlineDefault      = 10 * time.Second
	BodyMaxDefault       = 1 << 30
	BodiesHeldDefault    = 256 << 20
	HeadMaxDefault       = 16 << 10
	HeadTimeoutDefault   = 10 * time.Second
	IdleTimeoutDefault   = 75 * time.Second
	StreamTimeoutDefault = time.Minute
	ConnectionsDefault   = 64 << 10
	RateMinDefault       = 240
	// UpstreamIdleDefault is below the 5 s after which Node.js and uvicorn close idle connections.
	UpstreamIdleDefault    = 4 * time.Second
	UpstreamIdleMaxDefault = 1024
	TunnelIdleDefault      = tunnel.IdleDefault
	FirstWaitDefault       = 2 * time.Second
	MuxDefault             = MuxAuto
)

// Values of Config.Mux.
const (
	// MuxAuto uses stead-mux to nodes that speak it, and HTTP/1.1 to the others.
	MuxAuto = "auto"
	// MuxOff uses HTTP/1.1 to all nodes.
	MuxOff = "off"
)

// durationMax is far from where sums of durations overflow.
const durationMax = 10 * 365 * 24 * time.Hour

// headMaxLeast leaves room for a path with a key of 1,024 percent-coded octets.
const headMaxLeast = 4 << 10

// Config of a Proxy. NewConfig fills the defaults.
type Config struct {
	// ID names the proxy in the fleet view. Empty: the name in its certificate, or else one is drawn for
	// this process.
	ID api.ProxyID
	// Listen is host:port for clients; port 0 picks a free one.
	Listen string
	// Advertise is the host:port clients reach Listen at. Empty: the address listened on.
	Advertise string
	// AdminListen is host:port for health, metrics and what the proxy routes by.
	AdminListen string
	// DataDir is the folder that keeps the last ring, so that the proxy can start without the
	// control plane. Empty: it cannot.
	DataDir string
	// Control lists control-plane members as host:port or base URL; any one of them is enough.
	Control []string
	// KeyRules are the rules the cluster must have: with others the proxy does not start, or keeps
	// the ring it has. Empty: whatever the cluster has.
	KeyRules []string
	// Security is for the admin port, the control plane and the nodes.
	Security transport.Security
	// Token is shown to the control plane, for clusters that know their proxies by tokens. Nil: none is.
	Token func() string
	// SecurityClients is for Listen alone.
	SecurityClients transport.Security

	// Deadline is for the first octet of an answer, from when a short request was received, or the
	// last of a long body was sent. Past it the request fails with 504, or 503 if it was not sent.
	Deadline time.Duration
	// BodyMax is the longest body, in octets, that is passed on; longer ones are answered 413.
	BodyMax int64
	// BodiesHeld is how many octets of bodies longer than forward.LoadMax are held at a time, for all clients together, so
	// that they can be sent again; beyond it bodies are passed on without.
	BodiesHeld int64
	// HeadMax bounds request line and header fields, in octets; longer ones are answered 431. A client's
	// connection holds as much memory while it has a request, and in TLS all the time.
	HeadMax int
	// HeadTimeout is for a client to send a head, from its first octet to its last.
	HeadTimeout time.Duration
	// IdleTimeout is how long a client may be silent between requests.
	IdleTimeout time.Duration
	// StreamTimeout is how long a body may stand still, in either direction, before it is cut off.
	StreamTimeout time.Duration
	// RateMin is the mean rate, in octets a second, below which a body that was waited for longer than twice the
	// StreamTimeout is cut off; 0: it may drip for ever. A slow reader is held to what StreamTimeout demands:
	// gathered octets, up to 64 KiB, must be taken in that time.
	RateMin int
	// ConnectionsPerAddress is how many clients of one IPv4 address, or one /64 of IPv6, are served at a time; the
	// next one is answered 503. 0: as many as there are.
	ConnectionsPerAddress int
	// Connections is how many clients are served at a time; the next one is answered 503.
	Connections int
	// UpstreamIdle is how long an unused connection to a node is kept; it should be less than the
	// nodes keep theirs.
	UpstreamIdle time.Duration
	// UpstreamIdleMax is how many unused connections to each node are kept.
	UpstreamIdleMax int
	// OnMove is what becomes of a WebSocket, or what else a connection changed to, when its slot moves.
	OnMove OnMove
	// TunnelIdle is how long such a connection may be silent, in both directions, before it is closed.
	TunnelIdle time.Duration
	// Mux is MuxAuto or MuxOff: whether requests share connections to nodes that know how.
	Mux string
	// MuxConnections is how many such connections are kept to each node.
	MuxConnections int
	// FirstWait bounds how long Open waits for the control plane's ring.
	FirstWait time.Duration
	// DrainDelay is how long the proxy goes on serving after it said that it leaves. Where clients come by
	// DNS it should be twice the TTL: until then some still ask for this proxy. 0: none come late.
	DrainDelay time.Duration
	// Trail is what nodes and clients are told of a request's way.
	Trail TrailConfig
	// AccessLog is where requests are written down.
	AccessLog accesslog.Config
	// Tracing is where spans of requests go.
	Tracing tracing.Config
	// Predecessor is the proxy whose sockets and name this one takes over. Nil: it opens its own.
	Predecessor *Predecessor
	// Origin is shown to people.
	Origin Origin
	// Logger hears what a person should know. Nil: nobody does.
	Logger *slog.Logger
}

// NewConfig returns the defaults.
func NewConfig() Config {
	return Config{
		Listen:          ListenDefault,
		AdminListen:     AdminListenDefault,
		Control:         []string{ControlDefault},
		Deadline:        DeadlineDefault,
		BodyMax:         BodyMaxDefault,
		BodiesHeld:      BodiesHeldDefault,
		HeadMax:         HeadMaxDefault,
		HeadTimeout:     HeadTimeoutDefault,
		IdleTimeout:     IdleTimeoutDefault,
		StreamTimeout:   StreamTimeoutDefault,
		RateMin:         RateMinDefault,
		Connections:     ConnectionsDefault,
		UpstreamIdle:    UpstreamIdleDefault,
		UpstreamIdleMax: UpstreamIdleMaxDefault,
		OnMove:          OnMoveClose,
		TunnelIdle:      TunnelIdleDefault,
		FirstWait:       FirstWaitDefault,
		Trail:           newTrailConfig(),
		AccessLog:       accesslog.Config{Format: accesslog.Off, Sample: 1},
		Tracing:         tracing.Config{Sample: tracing.SampleDefault},
		Mux:             MuxDefault,
		MuxConnections:  runtime.GOMAXPROCS(0),
	}
}

// Validate reports the first setting that cannot stand.
func (c Config) Validate() error {
	if c.ID != "" {
		if err := c.ID.Validate(); err != nil {
			return err
		}
	}
	if err := c.Security.CheckOwn(transport.Identity{Role: transport.RoleProxy, Name: string(c.ID)}); err != nil {
		return err
	}
	if err := c.validateAddresses(); err != nil {
		return err
	}
	if len(c.KeyRules) > 0 {
		if _, problem := api.ParseKeyRules(c.KeyRules); problem != nil {
			return problem
		}
	}
	if err := errors.Join(c.Trail.validate(), c.AccessLog.Validate(), c.Tracing.Validate()); err != nil {
		return err
	}
	if c.HeadMax < headMaxLeast {
		return fmt.Errorf("a head of at most %d octets is too short, %d are the least", c.HeadMax, headMaxLeast)
	}
	if c.DrainDelay < 0 {
		return fmt.Errorf("the drain delay must not be negative, as %v is", c.DrainDelay)
	}
	if c.Mux != MuxAuto && c.Mux != MuxOff {
		return fmt.Errorf("mux is %s or %s, not %q", MuxAuto, MuxOff, api.Clip(c.Mux))
	}
	if c.MuxConnections < 1 {
		return fmt.Errorf("mux takes at least one connection to each node, not %d", c.MuxConnections)
	}
	if c.Connections < 1 {
		return fmt.Errorf("at least one connection must be served at a time, not %d", c.Connections)
	}
	if c.BodyMax < 0 || c.BodiesHeld < 0 || c.UpstreamIdleMax < 0 || c.ConnectionsPerAddress < 0 || c.RateMin < 0 {
		return errors.New("the limits of body, rate, connections of an address and idle connections must not be negative")
	}
	if c.ConnectionsPerAddress > 0 && c.Trail.ProxyProtocol {
		return errors.New("connections are limited by address before the PROXY header names the client: limit them in the proxy that sends it")
	}
	if c.OnMove != OnMoveClose && c.OnMove != OnMoveHold {
		return fmt.Errorf("on a move a tunnel is to %s or to %s, not %q", OnMoveClose, OnMoveHold, c.OnMove)
	}
	for name, duration := range map[string]time.Duration{
		"deadline": c.Deadline, "head timeout": c.HeadTimeout, "idle timeout": c.IdleTimeout,
		"stream timeout": c.StreamTimeout, "upstream idle": c.UpstreamIdle, "tunnel idle timeout": c.TunnelIdle, "first wait": c.FirstWait,
	} {
		if duration <= 0 || duration > durationMax {
			return fmt.Errorf("the %s must be more than 0 and at most %v, not %v", name, durationMax, duration)
		}
	}
	return nil
}

func (c Config) validateAddresses() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("cannot listen on %q: it is not host:port", c.Listen)
	}
	if _, err := transport.Advertised(c.Listen, c.Advertise); err != nil {
		return err
	}
	if c.Advertise != "" {
		if err := api.ValidateAddress(c.Advertise); err != nil {
			return err
		}
	}
	if _, _, err := net.SplitHostPort(c.AdminListen); err != nil {
		return fmt.Errorf("cannot listen on %q: it is not host:port", c.AdminListen)
	}
	if len(c.Control) == 0 {
		return errors.New("no control-plane members are named")
	}
	return nil
}
