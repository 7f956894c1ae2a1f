package sidecar

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/tunnel"
	"github.com/stead-io/stead/nodesvc"
)

// Defaults of Config.
const (
	ListenDefault         = "127.0.0.1:7500"
	HealthPathDefault     = "/healthz"
	HealthIntervalDefault = time.Second
	HealthFailuresDefault = 3
	StopTimeoutDefault    = 10 * time.Second
	MovePauseMaxDefault   = 2 * time.Second
)

// Config says which service the sidecar stands before. NewConfig fills the defaults.
type Config struct {
	// Node is the process as a node. Advertise may be empty: the address listened on. Healthy is the
	// sidecar's own and replaced.
	Node nodesvc.Config
	// Listen is the host:port that proxies dial; port 0 picks a free one.
	Listen string
	// AdminListen is the host:port of health and metrics; empty: there is no such port, since every path
	// of Listen is the service's own.
	AdminListen string
	// Upstream is the host:port of the service.
	Upstream string
	// HealthPath is asked for the service's health, 2xx is healthy; requests for it pass unguarded.
	HealthPath string
	// HealthInterval is the time between checks, and how long one may take.
	HealthInterval time.Duration
	// HealthFailures in a row make the service unhealthy; one success makes it healthy again.
	HealthFailures int
	// Hooks says that the service exports, imports and deletes slots, as a cluster of state hooks needs.
	Hooks bool
	// MovePauseMax is how long exporting a slot may take, while its requests wait; one that takes longer is
	// not moved.
	MovePauseMax time.Duration
	// TunnelIdle is how long a WebSocket, or what else a connection changed to, may be silent before it is closed.
	TunnelIdle time.Duration
	// Command is the service to start, as argument list; empty: it runs already.
	Command []string
	// StopTimeout is how long the command may take to end after SIGTERM, before SIGKILL.
	StopTimeout time.Duration
	// Stdout and Stderr take the command's output. Nil: the process's own.
	Stdout, Stderr io.Writer
	// Logger hears of the node, the service's health and the command. Nil: nobody does.
	Logger *slog.Logger
}

// NewConfig returns a Config with every default filled in.
func NewConfig() Config {
	return Config{
		Node:           nodesvc.NewConfig(),
		Listen:         ListenDefault,
		HealthPath:     HealthPathDefault,
		HealthInterval: HealthIntervalDefault,
		HealthFailures: HealthFailuresDefault,
		StopTimeout:    StopTimeoutDefault,
		MovePauseMax:   MovePauseMaxDefault,
		TunnelIdle:     tunnel.IdleDefault,
	}
}

// Validate reports the first field that cannot stand. An empty Node.Advertise passes if proxies can
// dial Listen.
func (c Config) Validate() error {
	node := c.Node
	if c.Hooks {
		node.Service = &hooks{}
	}
	if err := node.ValidateAt(c.Listen); err != nil {
		return err
	}
	if err := api.ValidateAddress(c.Upstream); err != nil {
		return fmt.Errorf("upstream %w", err)
	}
	if !strings.HasPrefix(c.HealthPath, "/") || strings.ContainsAny(c.HealthPath, "?# ") {
		return fmt.Errorf("health path %q is not a path such as %s", c.HealthPath, HealthPathDefault)
	}
	if c.HealthInterval < api.CheckIntervalMin {
		return fmt.Errorf("health interval %v is below %v", c.HealthInterval, api.CheckIntervalMin)
	}
	if c.HealthFailures < 1 {
		return fmt.Errorf("%d health failures: at least 1 is needed", c.HealthFailures)
	}
	if len(c.Command) > 0 && c.Command[0] == "" {
		return errors.New("the command to start has no name")
	}
	if c.MovePauseMax <= 0 {
		return fmt.Errorf("longest pause of a move %v is not positive", c.MovePauseMax)
	}
	if c.TunnelIdle <= 0 {
		return fmt.Errorf("idle timeout of tunnels %v is not positive", c.TunnelIdle)
	}
	if c.StopTimeout <= 0 {
		return fmt.Errorf("stop timeout %v is not positive", c.StopTimeout)
	}
	return nil
}
