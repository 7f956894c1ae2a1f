package api

import (
	"slices"
	"time"
)

// ProxyBeat is the body of POST /v1/proxies/{id}/beat; unknown fields are ignored.
type ProxyBeat struct {
	Address string  `json:"address"`           // host:port clients reach it at
	Admin   string  `json:"admin,omitempty"`   // host:port of its admin port
	Version Version `json:"version"`           // of the ring it routes by
	Nack    string  `json:"nack,omitempty"`    // why it refuses a newer ring
	Leaving bool    `json:"leaving,omitempty"` // it drains and stops: unpublish it
	// Troubles it had with nodes in the last ten seconds or so, the worst first; at most TroublesMax.
	Troubles []NodeTrouble `json:"troubles,omitempty"`
}

// TroublesMax bounds ProxyBeat.Troubles.
const TroublesMax = 16

// NodeTrouble is what one proxy lately failed with at one node. It is for people to see: nothing is decided by it.
type NodeTrouble struct {
	Node     NodeID `json:"node"`
	Connects uint64 `json:"connects,omitempty"` // connections that could not be made
	Timeouts uint64 `json:"timeouts,omitempty"` // requests whose answer did not begin in time
	Breaks   uint64 `json:"breaks,omitempty"`   // connections that broke before an answer, or with one that cannot be read
	GivenUp  bool   `json:"given_up,omitempty"` // requests for it fail at once, but for one at a time that tries
}

// Total counts the failures.
func (t NodeTrouble) Total() uint64 { return t.Connects + t.Timeouts + t.Breaks }

// TrimTroubles keeps of what somebody sent what may be shown: at most TroublesMax, of ids that could be nodes', and that count anything.
func TrimTroubles(sent []NodeTrouble) []NodeTrouble {
	return slices.DeleteFunc(sent[:min(len(sent), TroublesMax)], func(trouble NodeTrouble) bool {
		return trouble.Node.Validate() != nil || !trouble.GivenUp && trouble.Total() == 0
	})
}

// ProxyBeaten answers a proxy's beat.
type ProxyBeaten struct {
	Version Version `json:"version"`
}

// Proxy is one row of the fleet view, which is leader-local: a new leader fills it within a beat.
type Proxy struct {
	ID       ProxyID  `json:"id"`
	Address  string   `json:"address"`
	Admin    string   `json:"admin,omitempty"`
	Version  Version  `json:"version"` // 0-0: this leader never heard of it, only one before
	Nack     string   `json:"nack,omitempty"`
	Status   string   `json:"status"`    // up, down, draining
	LastBeat Duration `json:"last_beat"` // at least, of one that this leader never heard of
	// Lag counts the versions it is behind the leader.
	Lag uint64 `json:"lag"`
	// Troubles are what it says of nodes while it is heard.
	Troubles []NodeTrouble `json:"troubles,omitempty"`
}

// ProxyList answers GET /v1/proxies.
type ProxyList struct {
	Proxies []Proxy   `json:"proxies"`
	Version Version   `json:"version"`
	Time    time.Time `json:"time"`
}

// Beat intervals and the silence after which each is down.
const (
	NodeBeatInterval  = 250 * time.Millisecond
	ProxyBeatInterval = 250 * time.Millisecond
	ProxyDownAfter    = 750 * time.Millisecond
)
