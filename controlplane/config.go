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
	"github.com/stead-io/stead/controlplane/dns"
)

// Defaults of a member.
const (
	ListenDefault      = "127.0.0.1:7400"
	RaftListenDefault  = "127.0.0.1:7401"
	ServiceDefault     = "default"
	PlanDelayDefault   = 3 * time.Second
	EvictShareDefault  = 0.25
	EvictWindowDefault = time.Minute

	SnapshotEveryDefault = time.Hour
	SnapshotKeepDefault  = 24
	snapshotEveryMin     = time.Second

	membersMax = 7
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
	// Security says where may be listened.
	Security transport.Security
	// NodeCIDRs are the networks nodes may register addresses in; empty: any.
	NodeCIDRs []netip.Prefix
	// PlanDelay is how long the planner waits after the last join. Longer: fewer moves when many nodes
	// start; shorter: a new node takes part sooner.
	PlanDelay time.Duration
	// EvictShare of the nodes, at least one, may lose their slots for being down within EvictWindow.
	EvictShare  float64
	EvictWindow time.Duration
	// DNS says whether and how this member answers DNS for the proxies.
	DNS dns.Settings
	// SnapshotDir is a folder of this member's own that snapshots are saved to; empty: none are.
	SnapshotDir string
	// SnapshotEvery is how often, if anything changed; SnapshotKeep how many stay, the newest.
	SnapshotEvery time.Duration
	SnapshotKeep  int
	Logger        *slog.Logger
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
		EvictShare: EvictShareDefault, EvictWindow: EvictWindowDefault,
		DNS:           dns.NewSettings(),
		SnapshotEvery: SnapshotEveryDefault, SnapshotKeep: SnapshotKeepDefault,
		Logger: slog.Default(),
	}
}

// Validate reports what cannot work.
func (c Config) Validate() error {
	if err := api.ValidateMemberName(c.Name); err != nil {
		return err
	}
	if c.DataDir == "" {
		return errors.New("a data folder is needed: --data-dir")
	}
	for _, address := range c.Join {
		if err := api.ValidateAddress(address); err != nil {
			return fmt.Errorf("cannot join: %w", err)
		}
	}
	if _, err := transport.Advertised(c.Listen, c.Advertise); err != nil {
		return err
	}
	if _, err := transport.Advertised(c.RaftListen, c.RaftAdvertise); err != nil {
		return err
	}
	if c.Expect < 0 || c.Expect > membersMax {
		return fmt.Errorf("cannot expect %d members: 1, 3 or 5 are usual", c.Expect)
	}
	if joined := len(slices.Compact(slices.Sorted(slices.Values(c.Join)))); c.Expect != 0 && c.Expect < joined {
		return fmt.Errorf("cannot expect %d members and join %d: --join names no others than the members", c.Expect, joined)
	}
	if !(c.EvictShare >= 0 && c.EvictShare <= 1) || c.EvictWindow <= 0 || c.PlanDelay < 0 {
		return errors.New("the evict share is between 0 and 1, its window positive, the plan delay not negative")
	}
	if err := c.DNS.Validate(); err != nil {
		return err
	}
	if c.SnapshotDir != "" && (c.SnapshotEvery < snapshotEveryMin || c.SnapshotKeep < 1) {
		return fmt.Errorf("snapshots are saved every %v or less often, and at least one is kept", snapshotEveryMin)
	}
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
