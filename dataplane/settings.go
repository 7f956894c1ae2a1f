package dataplane

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/stead-io/stead/dataplane/inbound"
)

// Origin says where a configuration came from, for people to see; nothing follows from it.
type Origin struct {
	// File is the configuration file; empty: there is none.
	File string `json:"file,omitempty"`
	// Settings are all there are, by name.
	Settings []Setting `json:"settings,omitempty"`
	// Waiting names settings that the file has otherwise than they are in force: they need a restart.
	Waiting []string `json:"waiting,omitempty"`
}

// Setting is one setting in force, as people write it.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // flag, environment, file or default
}

// Configuration answers GET /v1/config of the admin port: what is in force, and since when.
type Configuration struct {
	Origin
	PID    int       `json:"pid"` // of the process that serves
	Loaded time.Time `json:"loaded"`
	// Refused says why what was read last is not in force; empty if it is.
	Refused string `json:"refused,omitempty"`
}

// configured is what is said of the configuration in force.
type configured struct {
	mu      sync.Mutex
	origin  Origin
	loaded  time.Time
	refused error
}

func (c *configured) take(origin Origin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.origin, c.loaded, c.refused = origin, time.Now(), nil
}

func (c *configured) show() Configuration {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := Configuration{Origin: c.origin, PID: os.Getpid(), Loaded: c.loaded.UTC()}
	if c.refused != nil {
		shown.Refused = c.refused.Error()
	}
	return shown
}

// settings is the configuration in force, immutable: whoever needs two of its values together asks once.
func (p *Proxy) settings() *Config {
	if changed := p.changed.Load(); changed != nil {
		return changed
	}
	return &p.config
}

// Reload puts in force what of a configuration may change while the proxy runs: Deadline, BodyMax, HeadTimeout,
// IdleTimeout, StreamTimeout, RateMin, Connections, ConnectionsPerAddress and DrainDelay. Requests under way end by
// those they began with, as far as they have looked at them; clients beyond lower limits stay. Whatever else the
// configuration says is passed over. One that cannot stand is refused whole.
func (p *Proxy) Reload(config Config) error {
	next := p.config
	next.Deadline, next.BodyMax, next.HeadTimeout = config.Deadline, config.BodyMax, config.HeadTimeout
	next.IdleTimeout, next.StreamTimeout = config.IdleTimeout, config.StreamTimeout
	next.Connections, next.ConnectionsPerAddress = config.Connections, config.ConnectionsPerAddress
	next.RateMin, next.DrainDelay = config.RateMin, config.DrainDelay
	if err := next.Validate(); err != nil {
		return fmt.Errorf("cannot reload configuration: %w", err)
	}
	before := p.settings().Connections
	p.changed.Store(&next)
	if next.Connections != before {
		p.checkFiles(next.Connections)
	}
	p.server.Reload(p.inbound(&next))
	p.configured.take(config.Origin)
	return nil
}

// checkFiles warns of more clients than the process may have files open. Each takes one, whatever it does; what goes to
// nodes for it comes on top of that, and is not reckoned here.
func (p *Proxy) checkFiles(connections int) {
	if files, known := filesMax(); known && uint64(connections) >= files {
		p.logger.Warn("more clients may connect than this process may have files open, and each takes one: raise that limit (LimitNOFILE in "+
			"systemd, ulimit -Hn in a shell) to twice the connections or more, or lower the connections", "connections", connections, "open_files", files)
	}
}

// ReloadRefused notes that a configuration was not fit to be loaded, for people to see.
func (p *Proxy) ReloadRefused(why error) {
	p.configured.mu.Lock()
	defer p.configured.mu.Unlock()
	p.configured.refused = why
}

// inbound is the part of a configuration that is about clients.
func (p *Proxy) inbound(config *Config) inbound.Config {
	return inbound.Config{
		HeadMax: config.HeadMax, BodyMax: config.BodyMax, HeadTimeout: config.HeadTimeout, IdleTimeout: config.IdleTimeout,
		StreamTimeout: config.StreamTimeout, RateMin: config.RateMin, Connections: config.Connections,
		ConnectionsPerAddress: config.ConnectionsPerAddress, MayTrail: p.mayTrail,
		Handler: p, Logger: p.logger,
	}
}

// showConfig answers GET /v1/config.
func (p *Proxy) showConfig(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.configured.show()) }
