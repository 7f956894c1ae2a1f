package api

import (
	"fmt"
	"time"
)

// State says what kind of state the service keeps and so how its slots may move.
type State string

const (
	// StateNone: routing only. Slots flip at once; state, if any, stays where it is.
	StateNone State = "none"
	// StateManaged: the SDK replicates and hands over.
	StateManaged State = "managed"
	// StateHooks: a sidecar exports and imports.
	StateHooks State = "hooks"
)

// NoKey says what a proxy does with a request without a sharding key.
type NoKey string

const (
	// NoKeyReject answers 400 no_key.
	NoKeyReject NoKey = "reject"
	// NoKeyAny sends the request to some node that is up.
	NoKeyAny NoKey = "any"
	// NoKeySticky gives the client a key of its own, in a cookie called KeyCookie.
	NoKeySticky NoKey = "sticky"
)

// KeyCookie is the cookie that carries the key that a client was given.
const KeyCookie = "stead-key"

// Validate refuses what is none of the values above.
func (n NoKey) Validate() *Problem {
	if n != NoKeyReject && n != NoKeyAny && n != NoKeySticky {
		return NewProblem(CodeInvalid, "%q is none of reject, any, sticky", Clip(string(n))).InField("no_key")
	}
	return nil
}

// Bounds of the ring's geometry.
const (
	SlotBitsMin     = 8
	SlotBitsMax     = 16
	SlotBitsDefault = 12
	ReplicasMax     = 3
	KeyLengthMax    = 1024 // octets
)

// HashSipHash24 is SipHash-2-4 with 64-bit output, keyed with the cluster's 128-bit key.
const HashSipHash24 = "siphash-2-4"

// Settings are what all parts of a cluster must agree on. Service, State, SlotBits and Hash are
// fixed when the cluster is made; Keys, and NoKey once it is sticky, are
// guarded while nodes hold slots.
type Settings struct {
	Service  string   `json:"service"`
	State    State    `json:"state"`
	Keys     []string `json:"keys"` // key rules, tried in order (see docs/api/keys.md)
	NoKey    NoKey    `json:"no_key"`
	SlotBits int      `json:"slot_bits"` // k: the ring has 2^k slots
	Replicas int      `json:"replicas"`  // R
	Hash     string   `json:"hash"`      // name of the hash
	HashKey  string   `json:"hash_key"`  // 32 hex digits
	// MinInSync is how many replicas, the primary among them, must be in sync for a slot to take writes; 0 is 1.
	MinInSync int `json:"min_in_sync,omitempty"`
	// OnLastCopy says what becomes of slots whose only copy was in the memory of a process that ended.
	OnLastCopy OnLastCopy `json:"on_last_copy,omitempty"`
}

// OnLastCopy says what becomes of a slot whose last copy is gone.
type OnLastCopy string

const (
	// OnLastCopyWait leaves it unserved until an operator forces it. The default.
	OnLastCopyWait OnLastCopy = "wait"
	// OnLastCopyRecreate begins it anew, empty; history says lossy.
	OnLastCopyRecreate OnLastCopy = "recreate"
)

// Equal reports whether two settings are the same in every field.
func (s Settings) Equal(other Settings) bool {
	if len(s.Keys) != len(other.Keys) {
		return false
	}
	for i := range s.Keys {
		if s.Keys[i] != other.Keys[i] {
			return false
		}
	}
	return s.Service == other.Service && s.State == other.State && s.NoKey == other.NoKey &&
		s.SlotBits == other.SlotBits && s.Replicas == other.Replicas &&
		s.Hash == other.Hash && s.HashKey == other.HashKey &&
		s.MinInSync == other.MinInSync && s.OnLastCopy == other.OnLastCopy
}

// Validate reports the first setting that cannot stand. Key rules are checked for their number
// here and for their grammar by whoever reads keys with them.
func (s Settings) Validate() *Problem {
	if err := validateName("service", s.Service); err != nil {
		return NewProblem(CodeInvalid, "%v", err).InField("service")
	}
	if s.State != StateNone && s.State != StateManaged && s.State != StateHooks {
		return NewProblem(CodeInvalid, "%q is not none, managed or hooks", Clip(string(s.State))).InField("state")
	}
	if problem := s.NoKey.Validate(); problem != nil {
		return problem
	}
	if s.SlotBits < SlotBitsMin || s.SlotBits > SlotBitsMax {
		return NewProblem(CodeInvalid, "2^%d slots: k must be %d to %d", s.SlotBits, SlotBitsMin, SlotBitsMax).InField("slot_bits")
	}
	if s.Replicas < 1 || s.Replicas > ReplicasMax {
		return NewProblem(CodeInvalid, "%d is not between 1 and %d", s.Replicas, ReplicasMax).InField("replicas")
	}
	if problem := s.validateReplication(); problem != nil {
		return problem
	}
	if s.Hash != HashSipHash24 {
		return NewProblem(CodeInvalid, "%q is not %s", Clip(s.Hash), HashSipHash24).InField("hash")
	}
	if err := validateHex("hash key", s.HashKey); err != nil {
		return NewProblem(CodeInvalid, "the hash key is not 32 lower-case hex digits").InField("hash_key")
	}
	if problem := ValidateKeyRules(s.Keys); problem != nil {
		return problem
	}
	return nil
}

func (s Settings) validateReplication() *Problem {
	if s.Replicas > 1 && s.State != StateManaged {
		return NewProblem(CodeInvalid, "state %s has one replica: only managed state is replicated", s.State).InField("replicas")
	}
	if s.MinInSync < 0 || s.MinInSync > s.Replicas {
		return NewProblem(CodeInvalid, "%d is not between 1 and the %d replicas", s.MinInSync, s.Replicas).InField("min_in_sync")
	}
	if s.OnLastCopy != "" && s.OnLastCopy != OnLastCopyWait && s.OnLastCopy != OnLastCopyRecreate {
		return NewProblem(CodeInvalid, "%q is neither wait nor recreate", Clip(string(s.OnLastCopy))).InField("on_last_copy")
	}
	return nil
}

// KeyRules are the rules that requests are read by: those of Keys and, where requests without a key
// get one in a cookie, last the one that reads it.
func (s Settings) KeyRules() ([]KeyRule, *Problem) {
	rules, problem := ParseKeyRules(s.Keys)
	if problem == nil {
		problem = s.NoKey.Validate()
	}
	if problem == nil && s.NoKey == NoKeySticky {
		rules = append(rules, KeyRule{Source: KeyFromCookie, Name: KeyCookie})
	}
	return rules, problem
}

// Bounds on key rules.
const (
	KeyRulesMax      = 8
	KeyRuleLengthMax = 256
)

// ValidateKeyRules checks number and length of key rules.
func ValidateKeyRules(rules []string) *Problem {
	if len(rules) == 0 || len(rules) > KeyRulesMax {
		return NewProblem(CodeInvalid, "1 to %d key rules are needed, not %d", KeyRulesMax, len(rules)).InField("keys")
	}
	for i, rule := range rules {
		if rule == "" || len(rule) > KeyRuleLengthMax {
			return NewProblem(CodeInvalid, "a rule is 1 to %d bytes", KeyRuleLengthMax).InField(fmt.Sprintf("keys[%d]", i))
		}
	}
	return nil
}

// SettingsPatch is the body of PATCH /v1/cluster: what to set. Fixed settings may be named with
// the value they have.
type SettingsPatch struct {
	Service  *string  `json:"service,omitempty"`
	State    *State   `json:"state,omitempty"`
	Keys     []string `json:"keys,omitempty"`
	NoKey    *NoKey   `json:"no_key,omitempty"`
	SlotBits *int     `json:"slot_bits,omitempty"`
	Replicas *int     `json:"replicas,omitempty"`
	// MinInSync and OnLastCopy may change at any time.
	MinInSync  *int        `json:"min_in_sync,omitempty"`
	OnLastCopy *OnLastCopy `json:"on_last_copy,omitempty"`
	Level      *int        `json:"level,omitempty"` // raise the FSM level
	Force      bool        `json:"force,omitempty"` // apply a guarded setting while nodes hold slots
}

// Cluster answers GET /v1/cluster.
type Cluster struct {
	Cluster    ClusterID `json:"cluster"`
	Settings   Settings  `json:"settings"`
	Version    Version   `json:"version"`
	Change     ChangeID  `json:"change"` // newest
	Level      int       `json:"level"`  // FSM level in force
	Leader     MemberID  `json:"leader,omitempty"`
	Term       uint64    `json:"term"`
	Members    []Member  `json:"members"`
	Nodes      NodeCount `json:"nodes"`
	Unassigned int       `json:"unassigned"` // slots without a node
	Recovering int       `json:"recovering"` // slots that wait for a store's report after a restore
	// Alarms are conditions that want a person: the governor holding evictions, for one.
	Alarms []string  `json:"alarms,omitempty"`
	Time   time.Time `json:"time"`
}

// NodeCount counts nodes by status.
type NodeCount struct {
	Up       int `json:"up"`
	Suspect  int `json:"suspect"`
	Down     int `json:"down"`
	Draining int `json:"draining"`
}

// Member is a control-plane member.
type Member struct {
	ID      MemberID `json:"id,omitempty"` // empty: asked for, and not here yet
	Name    string   `json:"name"`
	API     string   `json:"api"`  // base URL of its control API
	Raft    string   `json:"raft"` // host:port
	Voter   bool     `json:"voter"`
	Leader  bool     `json:"leader"`
	Alive   bool     `json:"alive"` // the answering member reached it within the last seconds
	Applied uint64   `json:"applied,omitempty"`
	Level   int      `json:"level,omitempty"` // highest FSM level it supports
	// Stage, Replaces and Note are told at /v1/members.
	Stage    MemberStage `json:"stage,omitempty"`
	Replaces MemberID    `json:"replaces,omitempty"` // leaves once this one has a vote
	Note     string      `json:"note,omitempty"`     // what it waits for
}

// LeaderTransfer is the body of POST /v1/leader/transfer; an empty To lets Raft choose.
type LeaderTransfer struct {
	To string `json:"to,omitempty"` // member name or id
}

// PeerInfo is what members tell each other of themselves at POST /v1/peers: how they find each
// other before there is a cluster, and after all addresses have changed.
type PeerInfo struct {
	ID       MemberID  `json:"id"`
	Name     string    `json:"name"`
	API      string    `json:"api"`
	Raft     string    `json:"raft"`
	DNS      string    `json:"dns,omitempty"` // host at which it answers DNS, if it does
	Boot     uint64    `json:"boot"`          // starts of this member; the higher one knows the newer address
	Cluster  ClusterID `json:"cluster,omitempty"`
	HasState bool      `json:"has_state"` // it has a Raft log; it must not bootstrap
	// Members lists the ids of its Raft configuration, if it has one; Nonvoters those without a vote.
	Members   []MemberID `json:"members,omitempty"`
	Nonvoters []MemberID `json:"nonvoters,omitempty"`
	// Configured is the log index of that configuration, 0 while it is not committed: a member that a
	// later one does not list was removed.
	Configured uint64 `json:"configured,omitempty"`
	// Awaits lists the names of members that are asked for: a new data folder may come under them.
	Awaits  []string `json:"awaits,omitempty"`
	Expect  int      `json:"expect"` // members it waits for before it bootstraps
	Level   int      `json:"level"`
	Applied uint64   `json:"applied"`
	// Generation is that of its state; a cluster that was recovered elsewhere has a higher one.
	Generation uint64 `json:"generation,omitempty"`
	// Bootstrap fingerprints the settings the member would create the cluster with.
	Bootstrap string `json:"bootstrap"`
}

// Peers is the body and the answer of POST /v1/peers.
type Peers struct {
	Self  PeerInfo   `json:"self"`
	Known []PeerInfo `json:"known"`
}
