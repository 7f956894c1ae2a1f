package api

import "time"

// RingJSON is the full ring as TypeJSON shows it: the same facts as the binary form.
type RingJSON struct {
	Cluster  ClusterID  `json:"cluster"`
	Version  Version    `json:"version"`
	Previous uint64     `json:"previous"` // number of the version before
	Digest   string     `json:"digest"`   // SHA-256 of the table's binary form, hex
	Settings Settings   `json:"settings"`
	Nodes    []RingNode `json:"nodes"`
	// Slots[i] is [epoch, node index, …], primary first; no replicas: [epoch].
	Slots [][]uint64 `json:"slots"`
}

// RingNode is a node as the table lists it.
type RingNode struct {
	Index   int    `json:"index"`
	ID      NodeID `json:"id"`
	Address string `json:"address"`
	Status  string `json:"status"` // up, suspect, down, draining
}

// RingDelta is what changed between two versions (TypeRingDelta).
type RingDelta struct {
	Cluster  ClusterID `json:"cluster"`
	From     Version   `json:"from"`
	To       Version   `json:"to"`
	Previous uint64    `json:"previous"` // of the resulting table
	// Digest is the SHA-256 of the resulting table; a mismatch asks for the full ring.
	Digest string `json:"digest"`
	// Settings is present when they changed.
	Settings *Settings `json:"settings,omitempty"`
	// Nodes lists the indexes that changed; one with an empty id is free now.
	Nodes []RingNode `json:"nodes,omitempty"`
	// Slots lists [slot, epoch, node index, …] for each slot that changed.
	Slots [][]uint64 `json:"slots,omitempty"`
}

// RingVersion is one row of GET /v1/ring/versions.
type RingVersion struct {
	Version Version   `json:"version"`
	Time    time.Time `json:"time"`
	Change  ChangeID  `json:"change,omitempty"` // the change it belongs to, if any
	Cause   string    `json:"cause"`            // "register n4", "suspect n2", …
	Slots   int       `json:"slots"`            // slots whose configuration changed
	Nodes   int       `json:"nodes"`            // node entries that changed
	Digest  string    `json:"digest,omitempty"` // of its table, when one version is asked for
}

// VersionList answers GET /v1/ring/versions, newest first.
type VersionList struct {
	Versions []RingVersion `json:"versions"`
	Oldest   Version       `json:"oldest"`         // the oldest version that can still be compared
	Next     uint64        `json:"next,omitempty"` // ?before= for the next page; 0 on the last
}

// ChangeStatus is how far a change has come.
type ChangeStatus string

const (
	ChangePending    ChangeStatus = "pending"    // recorded; the planner waits for more of its kind
	ChangeRunning    ChangeStatus = "running"    // slots are moving towards its want
	ChangeDone       ChangeStatus = "done"       // the ring is as it wanted it
	ChangeSuperseded ChangeStatus = "superseded" // a later change wanted something else first
	ChangeHeld       ChangeStatus = "held"       // the eviction governor holds it; a person decides
	ChangeCancelled  ChangeStatus = "cancelled"  // a person ended it; what had not moved stays
)

// Change is what an operator or the system did to the ring.
type Change struct {
	ID       ChangeID     `json:"id"`
	Kind     string       `json:"kind"`           // register, drain, undrain, weight, zone, remove, replace, expire, leave, return, rebalance, plan, rollback, maintenance, settings, bootstrap, restore, recover, report, recovered
	Node     NodeID       `json:"node,omitempty"` // whom it concerns
	Cause    string       `json:"cause"`          // "drain n2", in words
	Actor    string       `json:"actor"`          // who asked: an operator's name, a node, or "system"
	Time     time.Time    `json:"time"`
	Finished *time.Time   `json:"finished,omitempty"`
	First    Version      `json:"first"`
	Last     Version      `json:"last"`
	Status   ChangeStatus `json:"status"`
	Progress Progress     `json:"progress"`
	Lossy    bool         `json:"lossy,omitempty"` // state was given up
	// LeavesState counts slots that moved while their state stayed behind.
	LeavesState int    `json:"leaves_state,omitempty"`
	Detail      string `json:"detail,omitempty"`
	// Updated is the index of the log entry that last changed any of this: an order that all members share.
	Updated uint64 `json:"updated,omitempty"`
	// Want is the wanted replicas of every slot, node ids primary first; only when one change is asked for.
	Want [][]NodeID `json:"want,omitempty"`
}

// Progress is how far the slots of a change have come. Bytes, rate and end are the leader's estimate from what
// nodes say in beats; a change that is over has none.
type Progress struct {
	Done  int `json:"done"`
	Total int `json:"total"`

	Bytes     uint64     `json:"bytes,omitempty"`      // copied so far
	BytesLeft uint64     `json:"bytes_left,omitempty"` // to be copied
	Rate      uint64     `json:"rate,omitempty"`       // bytes per second lately
	End       *time.Time `json:"end,omitempty"`        // when it may be done
	// Blocked are moves that cannot go on, and why.
	Blocked []MoveBlocked `json:"blocked,omitempty"`
}

// ChangeList answers GET /v1/ring/changes, newest first.
type ChangeList struct {
	Changes []Change `json:"changes"`
	Oldest  ChangeID `json:"oldest"`
	Next    ChangeID `json:"next,omitempty"` // ?before= for the next page; 0 on the last
}

// RingDiff answers GET /v1/ring/diff: what differs between two kept points.
type RingDiff struct {
	From  Version    `json:"from"`
	To    Version    `json:"to"`
	Slots []SlotDiff `json:"slots"` // ascending
	Nodes []NodeDiff `json:"nodes"` // by id
	Moved int        `json:"moved"` // slots whose primary differs
	Share float64    `json:"share"` // Moved over all slots
}

// SlotDiff is one slot that differs.
type SlotDiff struct {
	Slot   Slot      `json:"slot"`
	Before SlotOwner `json:"before"`
	After  SlotOwner `json:"after"`
}

// SlotOwner is who holds a slot, and since which epoch.
type SlotOwner struct {
	Epoch    Epoch    `json:"epoch"`
	Replicas []NodeID `json:"replicas"` // primary first; empty: unassigned
}

// NodeDiff is one node whose entry or share differs; a nil side means it was not listed there.
type NodeDiff struct {
	ID     NodeID     `json:"id"`
	Before *NodeShare `json:"before,omitempty"`
	After  *NodeShare `json:"after,omitempty"`
}

// NodeShare is a node's part of the ring at one version.
type NodeShare struct {
	Address string `json:"address"`
	Status  string `json:"status"`
	Slots   int    `json:"slots"` // as primary
}

// Location answers GET /v1/ring/locate: where a key lives.
type Location struct {
	Key      string         `json:"key,omitempty"` // as asked, if it is valid UTF-8
	KeyHex   string         `json:"key_hex"`
	Hash     string         `json:"hash"` // 16 hex digits
	Slot     Slot           `json:"slot"`
	Epoch    Epoch          `json:"epoch"`
	Version  Version        `json:"version"`
	Replicas []LocationNode `json:"replicas"` // primary first
}

// LocationNode is one replica of a location.
type LocationNode struct {
	ID            NodeID `json:"id"`
	Address       string `json:"address"`
	PublicAddress string `json:"public_address,omitempty"`
	Status        string `json:"status"`
}

// Rebalance is the body of POST /v1/ring/rebalance; it may be empty.
type Rebalance struct{}
