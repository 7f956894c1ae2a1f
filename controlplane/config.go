package controlplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/access"
	"github.com/stead-io/stead/controlplane/dns"
	"github.com/stead-io/stead/controlplane/membership"
	"github.com/stead-io/stead/controlplane/webhooks"
)

// Defaults of a member.
const (
	ListenDefault      = "127.0.0.1:7400"
	RaftListenDefault  = "127.0.0.1:7401"
	ServiceDefault     = "default"
	PlanDelayDefault   = 3 * time.Second
	EvictShareDefault  = 0.25
	EvictWindowDefault = time.Minute
	// ReplaceAfterDefault lets a machine start again, and be repaired by hand, before its state is copied.
	ReplaceAfterDefault = 10 * time.Minute

	SnapshotEveryDefault     = time.Hour
	SnapshotKeepDefault      = 24
	SnapshotIntervalDefault  = 2 * time.Minute
	SnapshotThresholdDefault = 8192
	TrailingLogsDefault      = 10240
)

// Lower bounds.
const (
	memberDeadAfterMin  = 5 * time.Second
	snapshotIntervalMin = 100 * time.Millisecond
	snapshotEveryMin    = time.Second
)

// KeysDefault are the key rules of a new cluster.
var KeysDefault = []string{"header:X-Shard-Key", "path:/kv/{key}"}

// Config is a member's. Founding members must agree on Expect and Settings.
type Config struct {
	// Name of the member, unique and stable: it is part of its identity in Raft.
	Name string
	// Listen and RaftListen are host:port for the API and for other members' Raft; port 0 picks one.
	Listen, RaftListen string
	// Advertise and RaftAdvertise are what others dial; the bound addresses unless set.
	Advertise, RaftAdvertise string
	// DataDir holds identity, log and snapshots. Lost, the member must be replaced, not restarted.
	DataDir string
	// Join lists API addresses of members to look for, its own included or not.
	Join []string
	// Expect is how many members found the cluster together; the number in Join and this one unless set.
	Expect int
	// Settings the cluster is founded with; the hash key is drawn by the first leader.
	Settings api.Settings
	// Security says where may be listened, and how connections are protected.
	Security transport.Security
	// Tokens say who may do what by showing one, beside certificates or without. Nil: there are none;
	// without TLS everybody may then do everything.
	Tokens *access.Tokens
	// NodeCIDRs are the networks nodes may register addresses in; empty: any.
	NodeCIDRs []netip.Prefix
	// PlanDelay is how long the planner waits after the last join. Longer: fewer moves when many nodes
	// start; shorter: a new node takes part sooner.
	PlanDelay time.Duration
	// EvictShare of the nodes, at least one, may lose their slots for being down within EvictWindow.
	EvictShare  float64
	EvictWindow time.Duration
	// ReplaceAfter is how long a node must be down for others to take over its part of the ring, where nodes
	// hand slots over. Shorter: copies are back sooner; longer: a node that was away for a while copies less.
	ReplaceAfter time.Duration
	// DNS says whether and how this member answers DNS for the proxies.
	DNS dns.Settings
	// SnapshotDir is a folder of this member's own that snapshots are saved to; empty: none are.
	SnapshotDir string
	// SnapshotEvery is how often, if anything changed; SnapshotKeep how many stay, the newest.
	SnapshotEvery time.Duration
	SnapshotKeep  int
	// Webhooks are the URLs that changes are posted to, the same on every member; WebhookKey signs what
	// is posted.
	Webhooks   []string
	WebhookKey []byte
	// MemberDeadAfter is how long another member must be silent to be removed unasked, where enough others
	// remain; 0: never. A removed member does not come back by itself.
	MemberDeadAfter time.Duration
	// SnapshotInterval, SnapshotThreshold (entries) and TrailingLogs (entries) say how often the log is
	// cut. Smaller: less disk, faster starts; members that were away longer get the whole state.
	SnapshotInterval  time.Duration
	SnapshotThreshold uint64
	TrailingLogs      uint64
	Logger            *slog.Logger
}

// NewConfig fills every default.
func NewConfig() Config {
	return Config{
		Name:   "c1",
		Listen: ListenDefault, RaftListen: RaftListenDefault,
		Settings: api.Settings{
			Service: ServiceDefault, State: api.StateNone, Keys: KeysDefault, NoKey: api.NoKeyReject,
			SlotBits: api.SlotBitsDefault, Replicas: 1, Hash: api.HashSipHash24,
		},
		PlanDelay:  PlanDelayDefault,
		EvictShare: EvictShareDefault, EvictWindow: EvictWindowDefault, ReplaceAfter: ReplaceAfterDefault,
		SnapshotEvery: SnapshotEveryDefault, SnapshotKeep: SnapshotKeepDefault,
		DNS:              dns.NewSettings(),
		SnapshotInterval: SnapshotIntervalDefault, SnapshotThreshold: SnapshotThresholdDefault,
		TrailingLogs: TrailingLogsDefault,
		Logger:       slog.Default(),
	}
}

// Validate reports what cannot work.
func (c Config) Validate() error {
	for _, check := range []func() error{
		c.validateIdentity, c.validateCompany, c.validatePlanning, c.validateSnapshots, c.validateWebhooks,
		c.DNS.Validate, c.validateFounding,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) validateIdentity() error {
	if err := api.ValidateMemberName(c.Name); err != nil {
		return err
	}
	if err := c.Security.CheckOwn(transport.Identity{Role: transport.RoleMember, Name: c.Name}); err != nil {
		return err
	}
	if c.DataDir == "" {
		return errors.New("a data folder is needed: --data-dir")
	}
	if _, err := transport.Advertised(c.Listen, c.Advertise); err != nil {
		return err
	}
	_, err := transport.Advertised(c.RaftListen, c.RaftAdvertise)
	return err
}

// validateCompany is about the other members.
func (c Config) validateCompany() error {
	for _, address := range c.Join {
		if err := api.ValidateAddress(address); err != nil {
			return fmt.Errorf("cannot join: %w", err)
		}
	}
	if c.Expect < 0 || c.Expect > membership.MembersMax {
		return fmt.Errorf("cannot expect %d members: 1, 3 or 5 are usual", c.Expect)
	}
	if joined := len(slices.Compact(slices.Sorted(slices.Values(c.Join)))); c.Expect != 0 && c.Expect < joined {
		return fmt.Errorf("cannot expect %d members and join %d: --join names no others than the members", c.Expect, joined)
	}
	if c.MemberDeadAfter < 0 || c.MemberDeadAfter > 0 && c.MemberDeadAfter < memberDeadAfterMin {
		return fmt.Errorf("a member is dead after %v at the least, or never (0)", memberDeadAfterMin)
	}
	return nil
}

func (c Config) validatePlanning() error {
	if !(c.EvictShare >= 0 && c.EvictShare <= 1) || c.EvictWindow <= 0 || c.PlanDelay < 0 {
		return errors.New("the evict share is between 0 and 1, its window positive, the plan delay not negative")
	}
	if c.ReplaceAfter < api.TTLDefault {
		return fmt.Errorf("a node is replaced after %v at the least", api.TTLDefault)
	}
	return nil
}

func (c Config) validateSnapshots() error {
	if c.SnapshotDir != "" && (c.SnapshotEvery < snapshotEveryMin || c.SnapshotKeep < 1) {
		return fmt.Errorf("snapshots are saved every %v or less often, and at least one is kept", snapshotEveryMin)
	}
	if c.SnapshotInterval < snapshotIntervalMin || c.SnapshotThreshold == 0 || c.TrailingLogs == 0 {
		return fmt.Errorf("the snapshot interval is at least %v, its threshold and the trailing log at least 1", snapshotIntervalMin)
	}
	return nil
}

func (c Config) validateWebhooks() error {
	if err := webhooks.ValidateURLs(c.Webhooks); err != nil {
		return err
	}
	if len(c.Webhooks) > 0 && len(c.WebhookKey) == 0 {
		return errors.New("webhooks are signed: a key is needed, --webhook-key-file")
	}
	return nil
}

// validateFounding is about the settings that a new cluster would get.
func (c Config) validateFounding() error {
	founding := c.Settings
	founding.HashKey = "00000000000000000000000000000000"
	if problem := founding.Validate(); problem != nil {
		return problem
	}
	if _, problem := api.ParseKeyRules(c.Settings.Keys); problem != nil {
		return problem
	}
	return nil
}

// advertised is the address others dial, given the one bound.
func (c Config) advertised(bound string) string { return firstOf(c.Advertise, bound) }
