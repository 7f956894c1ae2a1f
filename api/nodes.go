package api

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// OnDown says what becomes of a node's slots when the node is gone and no replica holds them.
type OnDown string

const (
	// OnDownWait keeps the slots where their state is: they answer 503 until the node is back.
	OnDownWait OnDown = "wait"
	// OnDownReset gives the slots away empty; history records it as lossy.
	OnDownReset OnDown = "reset"
)

// Lease says how the control plane knows that a node lives.
type Lease string

const (
	// LeaseBeat expects a beat from the node well within its ttl.
	LeaseBeat Lease = "beat"
	// LeaseNone is a static node: it counts as up, or as what its Check says.
	LeaseNone Lease = "none"
)

// NodeStatus is what the control plane holds of a node's health. It never decides ownership.
type NodeStatus string

const (
	NodeUp      NodeStatus = "up"
	NodeSuspect NodeStatus = "suspect"
	NodeDown    NodeStatus = "down"
)

// Bounds on what a node may register.
const (
	WeightMin     = 1
	WeightMax     = 1000
	WeightDefault = 1

	TTLMin     = 500 * time.Millisecond
	TTLMax     = 10 * time.Minute
	TTLDefault = 2 * time.Second

	CheckIntervalDefault = time.Second
	CheckIntervalMin     = 100 * time.Millisecond
	CheckFailuresDefault = 3
	CheckFailuresMax     = 100

	MetaEntriesMax = 32
	MetaTextMax    = 256
	AddressMax     = 255
)

// Check is an HTTP probe that the control plane's leader runs against a static node.
type Check struct {
	// HTTP is the path, such as /healthz; any 2xx answer is healthy.
	HTTP string `json:"http"`
	// Interval between probes, 1s unless set. A probe may take as long.
	Interval Duration `json:"interval,omitempty"`
	// Failures in a row that make the node down, 3 unless set.
	Failures int `json:"failures,omitempty"`
}

// Registration is the body of POST /v1/nodes. Only ID and Address are required.
type Registration struct {
	ID            NodeID            `json:"id"`
	Address       string            `json:"address"`                  // host:port that proxies dial; h2c://host:port of a node that speaks HTTP/2 there
	PublicAddress string            `json:"public_address,omitempty"` // host:port for clients, where it differs
	Zone          string            `json:"zone,omitempty"`           // failure domain; replicas are spread over zones
	Weight        int               `json:"weight,omitempty"`         // share of the ring, 1 (default) to 1000
	OnDown        OnDown            `json:"on_down,omitempty"`        // wait (default) or reset
	Lease         Lease             `json:"lease,omitempty"`          // beat (default) or none
	Check         *Check            `json:"check,omitempty"`          // only with lease none
	TTL           Duration          `json:"ttl,omitempty"`            // silence after which the node is down; 2s unless set
	StoreID       StoreID           `json:"store_id,omitempty"`       // of the data folder, or of the process for a memory store
	Volatile      bool              `json:"volatile,omitempty"`       // the store lives in the process: each start is a new one
	Boot          uint64            `json:"boot,omitempty"`           // starts of this store so far, kept on its disk
	Nonce         string            `json:"nonce,omitempty"`          // drawn by the process; the same nonce gets the same answer
	Cluster       ClusterID         `json:"cluster,omitempty"`        // the store belongs to; refused by any other
	Service       string            `json:"service,omitempty"`        // name of the service; refused if the cluster serves another
	State         State             `json:"state,omitempty"`          // how its slots can move; refused if the cluster's differs; empty: none
	SlotBits      int               `json:"slot_bits,omitempty"`      // k the store was laid out for; refused if the cluster's differs
	Replace       bool              `json:"replace,omitempty"`        // take over the id of a node that is down, with another store; come back after being removed
	Reports       bool              `json:"reports,omitempty"`        // it says what it last acted on when the answer asks for a report
	Meta          map[string]string `json:"meta,omitempty"`           // free text for people
}

// WithDefaults fills what was left out.
func (r Registration) WithDefaults() Registration {
	if r.Weight == 0 {
		r.Weight = WeightDefault
	}
	if r.OnDown == "" {
		r.OnDown = OnDownWait
	}
	if r.Lease == "" {
		r.Lease = LeaseBeat
	}
	if r.TTL == 0 {
		r.TTL = Duration(TTLDefault)
	}
	if r.Check != nil {
		check := *r.Check
		if check.Interval == 0 {
			check.Interval = Duration(CheckIntervalDefault)
		}
		if check.Failures == 0 {
			check.Failures = CheckFailuresDefault
		}
		r.Check = &check
	}
	return r
}

// Validate reports the first field that cannot stand; defaults must have been filled.
func (r Registration) Validate() *Problem {
	if err := r.ID.Validate(); err != nil {
		return NewProblem(CodeInvalid, "%v", err).InField("id")
	}
	if problem := r.validateAddress(); problem != nil {
		return problem
	}
	if r.PublicAddress != "" {
		if err := ValidateAddress(r.PublicAddress); err != nil {
			return NewProblem(CodeAddressRefused, "%v", err).InField("public_address")
		}
	}
	if r.Zone != "" {
		if err := validateName("zone", r.Zone); err != nil {
			return NewProblem(CodeInvalid, "%v", err).InField("zone")
		}
	}
	if problem := ValidateWeight(r.Weight); problem != nil {
		return problem
	}
	if r.OnDown != OnDownWait && r.OnDown != OnDownReset {
		return NewProblem(CodeInvalid, "%q is neither wait nor reset", Clip(string(r.OnDown))).InField("on_down")
	}
	if ttl := time.Duration(r.TTL); ttl < TTLMin || ttl > TTLMax {
		return NewProblem(CodeInvalid, "%v is not between %v and %v", ttl, TTLMin, TTLMax).InField("ttl")
	}
	if problem := r.validateLiveness(); problem != nil {
		return problem
	}
	if r.StoreID != "" {
		if err := r.StoreID.Validate(); err != nil {
			return NewProblem(CodeInvalid, "%v", err).InField("store_id")
		}
	}
	if r.Cluster != "" {
		if err := r.Cluster.Validate(); err != nil {
			return NewProblem(CodeInvalid, "%v", err).InField("cluster")
		}
	}
	if r.Boot > 1<<53-1 {
		return NewProblem(CodeInvalid, "%d is past 2^53-1", r.Boot).InField("boot")
	}
	if len(r.Nonce) > MetaTextMax {
		return NewProblem(CodeInvalid, "longer than %d bytes", MetaTextMax).InField("nonce")
	}
	return r.validateMeta()
}

func (r Registration) validateAddress() *Problem {
	if err := ValidateNodeAddress(r.Address); err != nil {
		return NewProblem(CodeAddressRefused, "%v", err).InField("address")
	}
	if _, h2c := CutH2C(r.Address); h2c && r.State != "" && r.State != StateNone {
		return NewProblem(CodeAddressRefused, "nodes of state %s speak HTTP/1.1 with each other: leave %s out", Clip(string(r.State)), SchemeH2C).InField("address")
	}
	return nil
}

func (r Registration) validateLiveness() *Problem {
	if r.Lease != LeaseBeat && r.Lease != LeaseNone {
		return NewProblem(CodeInvalid, "%q is neither beat nor none", Clip(string(r.Lease))).InField("lease")
	}
	if r.Check == nil {
		return nil
	}
	if r.Lease != LeaseNone {
		return NewProblem(CodeInvalid, `a check is for static nodes; it needs "lease": "none"`).InField("check")
	}
	target, err := url.ParseRequestURI(r.Check.HTTP)
	if err != nil || target.Host != "" || r.Check.HTTP[0] != '/' {
		return NewProblem(CodeInvalid, "%q is not a path such as /healthz", Clip(r.Check.HTTP)).InField("check.http")
	}
	if every := time.Duration(r.Check.Interval); every < CheckIntervalMin || every > TTLMax {
		return NewProblem(CodeInvalid, "%v is not between %v and %v", every, CheckIntervalMin, TTLMax).InField("check.interval")
	}
	if r.Check.Failures < 1 || r.Check.Failures > CheckFailuresMax {
		return NewProblem(CodeInvalid, "%d is not between 1 and %d", r.Check.Failures, CheckFailuresMax).InField("check.failures")
	}
	return nil
}

func (r Registration) validateMeta() *Problem {
	if len(r.Meta) > MetaEntriesMax {
		return NewProblem(CodeInvalid, "more than %d entries", MetaEntriesMax).InField("meta")
	}
	for name, value := range r.Meta {
		if name == "" || len(name) > MetaTextMax || len(value) > MetaTextMax {
			return NewProblem(CodeInvalid, "names and values are 1 to %d bytes", MetaTextMax).InField("meta")
		}
	}
	return nil
}

// ValidateWeight reports a weight outside 1 to 1000.
func ValidateWeight(weight int) *Problem {
	if weight < WeightMin || weight > WeightMax {
		return NewProblem(CodeInvalid, "%d is not between %d and %d", weight, WeightMin, WeightMax).InField("weight")
	}
	return nil
}

// ValidateAddress reports whether an address is host:port, dialled as it stands: the host an IP address
// of some machine or a DNS name, the port a number from 1 to 65535. One address has one spelling.
func ValidateAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || len(address) > AddressMax {
		return fmt.Errorf("address %q is not host:port", Clip(address))
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || port[0] == '0' {
		return fmt.Errorf("address %q has no port from 1 to 65535", Clip(address))
	}
	if !validIP(host) && !validName(host) {
		return fmt.Errorf("address %q has a host that is neither a name nor an IP address", Clip(address))
	}
	return nil
}

func validIP(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && !ip.IsUnspecified() && !ip.Is4In6()
}

// validName takes DNS names (RFC 1123, and _ as many networks use it). A last label of digits alone
// would be an IP address in short form.
func validName(host string) bool {
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			plain := c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
			if !plain {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// Registered answers a registration.
type Registered struct {
	Node      Node      `json:"node"`
	Session   SessionID `json:"session"`
	BeatEvery Duration  `json:"beat_every"`       // how often the node should beat
	Change    ChangeID  `json:"change,omitempty"` // the change it led to; 0 if nothing changed
	Version   Version   `json:"version"`
	Note      string    `json:"note,omitempty"` // what the registration did not do, in plain words
	// Report asks for the ring that the node acted on before this generation: the state was restored,
	// and its stores may know better.
	Report bool `json:"report,omitempty"`
	// Cursor is where in the stream of slot configurations the session began: what was told before it was
	// meant for a predecessor.
	Cursor SlotCursor `json:"cursor"`
}

// Node is a node as the control plane shows it.
type Node struct {
	Registration
	Status     NodeStatus `json:"status"`
	Draining   bool       `json:"draining"`
	Slots      int        `json:"slots"` // slots it is primary of
	Registered time.Time  `json:"registered"`
	Since      time.Time  `json:"since"` // of the status
	// Maintenance is until when its absence is expected; nil: it is not.
	Maintenance *time.Time `json:"maintenance,omitempty"`
	// LastBeat is leader-local: how long ago the leader heard from the node.
	LastBeat *Duration `json:"last_beat,omitempty"`
	Load     *Load     `json:"load,omitempty"`
	// Moves is leader-local too: what the node last said of handing slots over.
	Moves *Moves `json:"moves,omitempty"`
}

// NodeList answers GET /v1/nodes.
type NodeList struct {
	Nodes   []Node  `json:"nodes"`
	Version Version `json:"version"`
}

// Load is what a node says of itself in a beat; every field is optional.
type Load struct {
	Requests uint64 `json:"requests,omitempty"` // served since it started
	Keys     uint64 `json:"keys,omitempty"`
	Bytes    uint64 `json:"bytes,omitempty"`
}

// Beat is the body of POST /v1/nodes/{id}/beat. Every field is optional; unknown ones are ignored.
type Beat struct {
	Session SessionID `json:"session,omitempty"`
	Load    *Load     `json:"load,omitempty"`
	// Leaving says that the process stops now and on purpose: the node is down from here on.
	Leaving bool `json:"leaving,omitempty"`
	// Unhealthy says why the node does not want requests now; it counts as silence.
	Unhealthy string `json:"unhealthy,omitempty"`
	// Moves is how far the node is with handing slots over.
	Moves *Moves `json:"moves,omitempty"`
}

// Moves is how far a node is with handing over slots that it is primary of.
type Moves struct {
	Running   int    `json:"running"`              // slots being copied, joined or handed over now
	Waiting   int    `json:"waiting"`              // slots whose turn has not come
	BytesDone uint64 `json:"bytes_done"`           // copied to other nodes since the process started
	BytesLeft uint64 `json:"bytes_left,omitempty"` // to be copied, as far as known
	// Blocked are moves that cannot go on, and why; at most MovesBlockedMax.
	Blocked []MoveBlocked `json:"blocked,omitempty"`
}

// MovesBlockedMax bounds Moves.Blocked.
const MovesBlockedMax = 16

// MoveBlocked is a slot that cannot move, and why.
type MoveBlocked struct {
	Slot   Slot   `json:"slot"`
	To     NodeID `json:"to"`
	Reason string `json:"reason"` // at most 200 octets
}

// Beaten answers a beat.
type Beaten struct {
	Version Version    `json:"version"`
	Status  NodeStatus `json:"status"`
}

// NodePatch is the body of PATCH /v1/nodes/{id}.
type NodePatch struct {
	Weight *int    `json:"weight,omitempty"`
	Zone   *string `json:"zone,omitempty"`
}

// Changed answers every operator's write.
type Changed struct {
	Change  ChangeID `json:"change"` // 0 if there was nothing to change
	Version Version  `json:"version"`
	// LeavesState counts the slots that will move without their state, which stays on disk where
	// it is: with state none, an operator's word is needed for such a move.
	LeavesState int `json:"leaves_state,omitempty"`
	// Note says what is worth knowing about the outcome, in plain words.
	Note string `json:"note,omitempty"`
	// Replayed says that the write had been carried out before, under the same Idempotency-Key. The answer
	// itself is that of the first time; the client reads this from the header.
	Replayed bool `json:"replayed,omitempty"`
}
