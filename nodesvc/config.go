package nodesvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/nodesvc/replication"
	"github.com/stead-io/stead/nodesvc/replication/transfer"
)

// Defaults of the limits in Config.
const (
	ParkWaitDefault  = 5 * time.Second
	ParkedMaxDefault = 1024
	DrainWaitDefault = 20 * time.Second
)

// ParkedBytesMax bounds the memory, in bytes, that requests take which wait for a slot of a Service. A request
// counts 4 KiB and what its body may have brought along, at most 64 KiB.
const ParkedBytesMax = 64 << 20

// ControlPlane is what a node asks of the control plane; *client.Client answers it.
type ControlPlane interface {
	Register(context.Context, api.Registration) (api.Registered, error)
	Beat(context.Context, api.NodeID, api.Beat) (api.Beaten, error)
	// Report says what ring the node acted on before the state was restored; nil: none.
	Report(ctx context.Context, id api.NodeID, session api.SessionID, view *ring.View) error
	Node(context.Context, api.NodeID) (api.Node, error)
	Drain(context.Context, api.NodeID) (api.Changed, error)
	Remove(ctx context.Context, id api.NodeID, force bool) (api.Changed, error)
	// Watch calls onView for every ring newer than have until ctx ends.
	Watch(ctx context.Context, have *ring.View, onView func(*ring.View)) error
	// ReportSlots says what configurations the node's store had adopted before the state was restored.
	ReportSlots(context.Context, api.NodeID, api.SlotReport) error
	// WatchSlots calls onFeed with the configurations of all slots, then with what changes, until ctx ends.
	WatchSlots(ctx context.Context, onFeed func(api.SlotFeed)) error
	// ProposeSlots asks for the next configurations of slots.
	ProposeSlots(context.Context, api.SlotProposals) (api.SlotVerdicts, error)
}

// Config says which node this is and how it behaves. NewConfig fills the defaults.
type Config struct {
	// ID names the node for ever: the ring knows it by nothing else.
	ID api.NodeID
	// Advertise is the host:port that proxies dial, as it stands.
	Advertise string
	// PublicAddress is the host:port for clients, where it differs; empty: it does not.
	PublicAddress string
	// DataDir keeps the store's identity beside its data; one process at a time may open it. Empty: a
	// memory store, which is a new store in every process. The node counts as alive only while a small
	// write to the folder succeeds within TTL.
	DataDir string
	// Control lists control-plane members, each as base URL or host:port; any one of them is enough.
	Control []string
	// Zone is the node's failure domain; empty: none.
	Zone string
	// Weight is the node's share of the ring beside the others', 1 to 1000.
	Weight int
	// OnDown says whether the slots wait for the node when it is gone, or are given away empty.
	OnDown api.OnDown
	// TTL is the silence after which the node is down, 500 ms to 10 min.
	TTL time.Duration
	// ServiceName is the name of the service; a cluster that serves another refuses the node. Empty: any.
	ServiceName string
	// Service holds the state, and is told by the node what to do to it. Nil: the node routes requests, and
	// what state there is is its own affair. With one the data folder is the node's: store.json, ring and
	// log/ are its names, the service may use others.
	Service Service
	// State says how slots move between nodes: managed, hooks or none. A cluster of another kind refuses the
	// node. Empty: none without a Service; with one, none in a cluster of state none, else managed.
	State api.State
	// Replace takes over the id of a node that is down with another store: its disk was replaced. It also brings back
	// a node that was removed.
	Replace bool
	// Meta is free text for people.
	Meta map[string]string

	// ParkWait is how long a request waits for a slot that is changing hands, and for the node's view to reach the
	// epoch it was routed by. A hand-over that a disk or the control plane holds up takes seconds.
	ParkWait time.Duration
	// ParkedMax is how many requests may wait so at once; more are answered by the view at hand. With a
	// Service the bound is their memory instead: ParkedBytesMax.
	ParkedMax int
	// DrainWait is how long a leaving reset node waits for its slots to be gone; 0 sets no limit but
	// the caller's.
	DrainWait time.Duration

	// AckTimeout is how long a replica may owe an answer before it leaves the in-sync set; until then updates
	// wait for it.
	AckTimeout time.Duration
	// DrainTimeout is how long the hand-over of a slot waits for its running updates and reads before it lets
	// the slot go on and tries again later.
	DrainTimeout time.Duration
	// CopyOut and CopyIn bound, in bytes per second, what copying slots to and from other nodes takes of disk
	// and network; 0 sets no bound.
	CopyOut, CopyIn uint64
	// CopySlots is how many slots are copied to other nodes at once.
	CopySlots int
	// LogBytes is about how many bytes of records are kept, of all slots together, for replicas that were away:
	// one that needs older ones is given a copy. 0: the engine's default.
	LogBytes uint64
	// DiskReserve is how many bytes of the data folder's disk stay free: below, updates are refused with
	// storage_full. 0: the larger of 1 GiB and a twentieth of the disk.
	DiskReserve uint64

	// Healthy reports whether the service can do its work, its disk included; it runs every beat, one
	// at a time. While it fails, or takes longer than TTL, the node does not count as alive; before it
	// succeeds once the node does not register. Nil: always healthy.
	Healthy func(context.Context) error

	// Security is how connections are protected, those to the control plane and those from proxies.
	Security transport.Security
	// Token is shown to the control plane, for clusters that know their nodes by tokens. Nil: none is.
	Token func() string
	// Logger hears of membership, never of single requests above debug. Nil: nobody does.
	Logger *slog.Logger
	// ControlPlane answers instead of the members in Control, in tests for one. Nil: they do.
	ControlPlane ControlPlane

	canaryWrite func() error                             // tries the disk in tests; nil: a file in DataDir does
	openEngine  func(replication.Config) (engine, error) // in tests; nil: replication.Open
}

// NewConfig returns a Config with every default filled in.
func NewConfig() Config {
	return Config{
		Weight:    api.WeightDefault,
		OnDown:    api.OnDownWait,
		TTL:       api.TTLDefault,
		ParkWait:  ParkWaitDefault,
		ParkedMax: ParkedMaxDefault,
		DrainWait: DrainWaitDefault,

		AckTimeout:   replication.AckTimeoutDefault,
		DrainTimeout: replication.DrainTimeoutDefault,
		CopyOut:      transfer.RateOutDefault,
		CopyIn:       transfer.RateInDefault,
		CopySlots:    replication.CopySlotsDefault,
		LogBytes:     replication.LogBytesDefault,
	}
}

// Validate reports the first field that cannot stand.
func (c Config) Validate() error {
	if problem := c.registration().Validate(); problem != nil {
		return problem
	}
	if err := c.Security.CheckOwn(transport.Identity{Role: transport.RoleNode, Name: string(c.ID)}); err != nil {
		return err
	}
	if len(c.Control) == 0 && c.ControlPlane == nil {
		return errors.New("no control-plane member is named")
	}
	for name, limit := range map[string]time.Duration{"park wait": c.ParkWait, "drain wait": c.DrainWait} {
		if limit < 0 {
			return fmt.Errorf("the %s is negative: %v", name, limit)
		}
	}
	if c.Service != nil && (c.AckTimeout <= 0 || c.DrainTimeout <= 0 || c.CopySlots < 1) {
		return errors.New("ack timeout, drain timeout and slots copied at once must be positive")
	}
	if c.ParkedMax < 0 {
		return fmt.Errorf("the number of parked requests is negative: %d", c.ParkedMax)
	}
	return c.validateState()
}

// addressToBe stands in for the address of a node that does not listen yet.
const addressToBe = "127.0.0.1:1"

// ValidateAt is Validate for a node that is yet to listen: without Advertise it passes if proxies can dial the
// address that is to be listened on.
func (c Config) ValidateAt(listen string) error {
	if err := CheckListen(listen, c.Advertise); err != nil {
		return err
	}
	if c.Advertise == "" {
		c.Advertise = addressToBe
	}
	return c.Validate()
}

func (c Config) validateState() error {
	switch c.State {
	case "", api.StateNone:
		return nil
	case api.StateManaged, api.StateHooks:
		if c.Service == nil {
			return fmt.Errorf("state %s needs a service that holds it", c.State)
		}
		return nil
	default:
		return fmt.Errorf("state %q is not managed, hooks or none", api.Clip(string(c.State)))
	}
}

// stateIn is how slots move in a cluster of some state, with this node in it.
func (c Config) stateIn(cluster api.State) api.State {
	switch {
	case c.State != "":
		return c.State
	case c.Service == nil || cluster == api.StateNone:
		return api.StateNone
	default:
		return api.StateManaged
	}
}

// registration is what the node registers with, but for its identity.
func (c Config) registration() api.Registration {
	return api.Registration{
		ID:            c.ID,
		Address:       c.Advertise,
		PublicAddress: c.PublicAddress,
		Zone:          c.Zone,
		Weight:        c.Weight,
		OnDown:        c.OnDown,
		Lease:         api.LeaseBeat,
		TTL:           api.Duration(c.TTL),
		Service:       c.ServiceName,
		Volatile:      c.DataDir == "",
		Replace:       c.Replace,
		Meta:          c.Meta,
	}
}
