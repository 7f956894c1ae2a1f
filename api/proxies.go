package api

import "time"

// ProxyBeat is the body of POST /v1/proxies/{id}/beat; unknown fields are ignored.
type ProxyBeat struct {
	Address string  `json:"address"`           // host:port clients reach it at
	Admin   string  `json:"admin,omitempty"`   // host:port of its admin port
	Version Version `json:"version"`           // of the ring it routes by
	Nack    string  `json:"nack,omitempty"`    // why it refuses a newer ring
	Leaving bool    `json:"leaving,omitempty"` // it drains and stops: unpublish it
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
