package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
)

// Limits.
const (
	readyPatience = 30 * time.Second
	stopPatience  = 8 * time.Second // for each role in turn
	eachRoleMax   = 100
)

// Config says what to run.
type Config struct {
	// Members, Proxies and Nodes count processes; one member at least, an odd number is wise.
	Members, Proxies, Nodes int
	// State and Replicas are those of a cluster that is made now.
	State    api.State
	Replicas int
	// FreePorts takes free ports even where the default ones are free.
	FreePorts bool
	// DataDir holds a folder per process and is all that a later start needs. Empty: a temporary one,
	// removed at the end.
	DataDir string
	// Executable is the stead binary.
	Executable string
	// LogLevel is that of every process.
	LogLevel string
	// Output takes the lines of all processes, and what is to be said about them.
	Output io.Writer
}

// NewConfig is three members, two proxies and three nodes of this very binary.
func NewConfig() (Config, error) {
	executable, err := os.Executable()
	if err != nil {
		return Config{}, fmt.Errorf("cannot find the stead binary: %w", err)
	}
	return Config{Members: 3, Proxies: 2, Nodes: 3, State: api.StateManaged, Replicas: 2, Executable: executable, LogLevel: "info", Output: io.Discard}, nil
}

// Validate reports the first field that cannot stand.
func (c Config) Validate() error {
	switch {
	case c.Members < 1 || c.Members > eachRoleMax:
		return fmt.Errorf("members: %d is not between 1 and %d", c.Members, eachRoleMax)
	case c.Proxies < 0 || c.Proxies > eachRoleMax:
		return fmt.Errorf("proxies: %d is not between 0 and %d", c.Proxies, eachRoleMax)
	case c.Nodes < 0 || c.Nodes > eachRoleMax:
		return fmt.Errorf("nodes: %d is not between 0 and %d", c.Nodes, eachRoleMax)
	case c.State != api.StateManaged && c.State != api.StateNone:
		return fmt.Errorf("state: %q is neither managed nor none: the nodes are those of the key-value store", c.State)
	case c.Replicas < 1 || c.Replicas > api.ReplicasMax || c.Replicas > 1 && c.State != api.StateManaged:
		return fmt.Errorf("replicas: %d is not between 1 and %d; state none has 1", c.Replicas, api.ReplicasMax)
	default:
		return nil
	}
}

// Cluster is a running cluster.
type Cluster struct {
	config    Config
	printer   *printer
	spawner   *spawner
	processes []*process
	temporary bool // the data goes with the cluster

	reports  sync.WaitGroup
	stopping chan struct{} // closed when ends are no longer worth a report
}

// Open starts every process and waits until all are ready. When that fails, nothing is left running.
func Open(ctx context.Context, config Config) (*Cluster, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	folder, err := dataFolder(config.DataDir)
	if err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	temporary := config.DataDir == ""
	config.DataDir = folder
	if err := checkMembers(config); err != nil {
		return nil, err
	}
	c := &Cluster{
		config:    config,
		printer:   &printer{to: config.Output},
		spawner:   newSpawner(),
		temporary: temporary,
		stopping:  make(chan struct{}),
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close(context.WithoutCancel(ctx)))
	}
	for _, p := range c.processes {
		c.reports.Go(func() { c.reportEnd(p) })
	}
	return c, nil
}

// checkMembers refuses a folder of a cluster of another size: with fewer members than it was founded with
// it might never have a majority, and with more the new ones would be strangers to it.
func checkMembers(config Config) error {
	founded, err := filepath.Glob(filepath.Join(config.DataDir, "c*", "member.json"))
	if err != nil || len(founded) == 0 || len(founded) == config.Members {
		return err
	}
	return fmt.Errorf("cannot use %s: its cluster has %d members, not %d (--members %d, or another folder)",
		config.DataDir, len(founded), config.Members, len(founded))
}

// dataFolder makes the folder, or a temporary one, and names it absolutely.
func dataFolder(name string) (string, error) {
	if name == "" {
		return os.MkdirTemp("", "stead-dev-")
	}
	absolute, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return absolute, os.MkdirAll(absolute, 0o700)
}

func (c *Cluster) start(ctx context.Context) error {
	reserved := &ports{alwaysFree: c.config.FreePorts}
	specs, err := plan(c.config, reserved)
	if err = errors.Join(err, reserved.release()); err != nil {
		return err
	}
	for _, spec := range specs {
		p, err := launch(c.spawner, c.config.Executable, spec, c.printer)
		if err != nil {
			return err
		}
		c.processes = append(c.processes, p)
	}
	return c.awaitReady(ctx)
}

// DataDir is the folder of all data, absolute.
func (c *Cluster) DataDir() string { return c.config.DataDir }

// reportEnd says when a process dies while the cluster should run.
func (c *Cluster) reportEnd(p *process) {
	select {
	case <-c.stopping:
	case <-p.ended:
		c.printer.line("dev", fmt.Appendf(nil, "%s died: %s; it stays dead, restart it with: %s",
			p, p.cause(), c.commandLine(p)))
	}
}

// addresses lists those of one role, in order.
func (c *Cluster) addresses(of role) (found []string) {
	for _, p := range c.processes {
		if p.spec.role == of {
			found = append(found, p.spec.address)
		}
	}
	return found
}

func (c *Cluster) commandLine(p *process) string {
	return shellLine(append([]string{c.config.Executable}, p.spec.args...))
}

// diedEarly explains a process that did not live until all were ready.
func diedEarly(p *process) error {
	text := fmt.Sprintf("cannot start the cluster: %s died: %s", p, p.cause())
	if last := p.output.tail(); len(last) > 0 {
		text += "\nits last lines:\n  " + strings.Join(last, "\n  ")
	}
	return errors.New(text)
}

// Close stops proxies, then nodes, then the control plane; each role has a bounded time, after
// which its processes are killed. When the context ends, all that still run are killed.
func (c *Cluster) Close(ctx context.Context) error {
	close(c.stopping)
	c.reports.Wait()
	for _, role := range []role{roleProxy, roleNode, roleControl} {
		c.stopRole(ctx, role)
	}
	c.spawner.stop()
	if !c.temporary {
		return nil
	}
	if err := os.RemoveAll(c.config.DataDir); err != nil {
		return fmt.Errorf("cannot remove the data folder: %w", err)
	}
	return nil
}

func (c *Cluster) stopRole(ctx context.Context, role role) {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	var stopped sync.WaitGroup
	for _, p := range c.processes {
		if p.spec.role == role {
			stopped.Go(func() { p.stop(ctx) })
		}
	}
	stopped.Wait()
}
