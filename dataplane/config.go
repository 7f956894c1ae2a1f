package dataplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// Defaults of Config.
const (
	ListenDefault        = "127.0.0.1:8080"
	AdminListenDefault   = "127.0.0.1:8081"
	ControlDefault       = "127.0.0.1:7400"
	DeadlineDefault      = 10 * time.Second
	BodyMaxDefault       = 1 << 30
	HeadMaxDefault       = 16 << 10
	HeadTimeoutDefault   = 10 * time.Second
	IdleTimeoutDefault   = 75 * time.Second
	StreamTimeoutDefault = time.Minute
	ConnectionsDefault   = 64 << 10
	// UpstreamIdleDefault is below the 5 s after which Node.js and uvicorn close idle connections.
	UpstreamIdleDefault    = 4 * time.Second
	UpstreamIdleMaxDefault = 1024
	FirstWaitDefault       = 2 * time.Second
)

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
	// HeadMax bounds request line and header fields, in octets; longer ones are answered 431. Each
	// client connection holds as much memory.
	HeadMax int
	// HeadTimeout is for a client to send a head, from its first octet to its last.
	HeadTimeout time.Duration
	// IdleTimeout is how long a client may be silent between requests.
	IdleTimeout time.Duration
	// StreamTimeout is how long a body may stand still, in either direction, before it is cut off.
	StreamTimeout time.Duration
	// Connections is how many clients are served at a time; the next one is answered 503.
	Connections int
	// UpstreamIdle is how long an unused connection to a node is kept; it should be less than the
	// nodes keep theirs.
	UpstreamIdle time.Duration
	// UpstreamIdleMax is how many unused connections to each node are kept.
	UpstreamIdleMax int
	// FirstWait bounds how long Open waits for the control plane's ring.
	FirstWait time.Duration
	// DrainDelay is how long the proxy goes on serving after it said that it leaves. Where clients come by
	// DNS it should be twice the TTL: until then some still ask for this proxy. 0: none come late.
	DrainDelay time.Duration
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
		HeadMax:         HeadMaxDefault,
		HeadTimeout:     HeadTimeoutDefault,
		IdleTimeout:     IdleTimeoutDefault,
		StreamTimeout:   StreamTimeoutDefault,
		Connections:     ConnectionsDefault,
		UpstreamIdle:    UpstreamIdleDefault,
		UpstreamIdleMax: UpstreamIdleMaxDefault,
		FirstWait:       FirstWaitDefault,
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
	if c.HeadMax < headMaxLeast {
		return fmt.Errorf("a head of at most %d octets is too short, %d are the least", c.HeadMax, headMaxLeast)
	}
	if c.DrainDelay < 0 {
		return fmt.Errorf("the drain delay must not be negative, as %v is", c.DrainDelay)
	}
	if c.BodyMax < 0 || c.Connections < 1 || c.UpstreamIdleMax < 0 {
		return errors.New("the limits of body, connections and idle connections must not be negative")
	}
	for name, duration := range map[string]time.Duration{
		"deadline": c.Deadline, "head timeout": c.HeadTimeout, "idle timeout": c.IdleTimeout,
		"stream timeout": c.StreamTimeout, "upstream idle": c.UpstreamIdle, "first wait": c.FirstWait,
	} {
		if duration <= 0 {
			return fmt.Errorf("the %s must be more than 0, not %v", name, duration)
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
