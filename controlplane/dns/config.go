package dns

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// Mode says which proxies are answered.
type Mode string

// Modes. The healthy ones fail open: if fewer than half of the proxies live, all are answered, for it
// is more likely that they cannot be seen than that they are gone.
const (
	ModeHealthy Mode = "healthy" // those that beat
	ModeAll     Mode = "all"     // all that do not drain
)

// Defaults of Settings.
const (
	ZoneDefault = "proxy.stead."
	TTLDefault  = 5 * time.Second
)

const (
	// zoneMax leaves room for the names below the zone: a name has at most 255 octets.
	zoneMax = 160
	ttlMax  = 24 * time.Hour
)

// Settings are the operator's. Members that differ in them answer differently.
type Settings struct {
	// Listen is host:port for UDP and TCP; empty: no DNS. Port 0 picks one that is free for both.
	Listen string
	// Zone is the name that is answered for, with or without the last dot.
	Zone string
	// Mode says which proxies are answered.
	Mode Mode
	// TTL is how long resolvers may keep an answer, in whole seconds; "there is none" too. A proxy
	// that dies is asked for as long; one that stops should go on serving for twice as long.
	TTL time.Duration
	// Security is for these two sockets alone. DNS carries nothing secret and is never encrypted.
	Security transport.Security
}

// NewSettings are the defaults: no DNS, and what it would be like.
func NewSettings() Settings { return Settings{Zone: ZoneDefault, Mode: ModeHealthy, TTL: TTLDefault} }

// Validate reports the first setting that cannot stand.
func (s Settings) Validate() error {
	if err := validateZone(s.Zone); err != nil {
		return err
	}
	if s.Mode != ModeHealthy && s.Mode != ModeAll {
		return fmt.Errorf("the DNS mode is %s or %s, not %q", ModeHealthy, ModeAll, api.Clip(string(s.Mode)))
	}
	if s.TTL < 0 || s.TTL > ttlMax || s.TTL%time.Second != 0 {
		return fmt.Errorf("the DNS ttl is whole seconds from 0 to %v, not %v", ttlMax, s.TTL)
	}
	if s.Listen == "" {
		return nil
	}
	return s.Security.Check(s.Listen)
}

func validateZone(zone string) error {
	name := strings.TrimSuffix(zone, ".")
	if name == "" || len(name) > zoneMax {
		return fmt.Errorf("a DNS zone of %d octets cannot be served, 1 to %d can", len(name), zoneMax)
	}
	for label := range strings.SplitSeq(strings.ToLower(name), ".") {
		if !plain(strings.TrimPrefix(label, "_")) {
			return fmt.Errorf("the DNS zone %q has the label %q; labels are letters, digits and inner dashes", api.Clip(zone), api.Clip(label))
		}
	}
	return nil
}

// Nameserver is a member that answers too.
type Nameserver struct {
	Name string // of the member
	Host string // an IP address, or a name that leads to one elsewhere
}

// Source is where the answers come from.
type Source interface {
	// Roster is the newest one known, nil before the first; RosterChanged is closed when another is.
	Roster() *api.Roster
	RosterChanged() <-chan struct{}
	// Nameservers lists the members that answer DNS, this one included, by name.
	Nameservers() []Nameserver
}

// Config is a Server's.
type Config struct {
	Settings
	Source Source
	Logger *slog.Logger
}
