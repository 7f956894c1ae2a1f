package api

import (
	"fmt"
	"strconv"
	"strings"
)

// Status of a proxy in the fleet.
const (
	ProxyUp       = "up"
	ProxyDown     = "down"
	ProxyDraining = "draining"
)

// RosterMax bounds an encoded roster, in bytes: what the fleet may hold at its longest fits.
const RosterMax = 8 << 20

// Roster is the fleet as clients are to find it: who there is, where, and whether it lives. The leader
// makes it, and members tell it each other with GET /v1/roster, so that each can answer DNS, without
// a leader too. It changes when a proxy comes, goes or moves, not with every beat.
type Roster struct {
	Mark    RosterMark   `json:"mark"`
	Proxies []RosterItem `json:"proxies"` // by id
}

// RosterItem is one proxy of a roster.
type RosterItem struct {
	ID      ProxyID `json:"id"`
	Address string  `json:"address"` // host:port clients reach it at
	Status  string  `json:"status"`  // up, down, draining
}

// RosterMark orders rosters: by the leader's Raft term, then by how many that leader made before.
// Written <term>-<number>.
type RosterMark struct {
	Term   uint64 `json:"term"`
	Number uint64 `json:"number"`
}

// String writes the mark as it stands in ?after=.
func (m RosterMark) String() string { return fmt.Sprintf("%d-%d", m.Term, m.Number) }

// Before reports whether other is of a newer roster.
func (m RosterMark) Before(other RosterMark) bool {
	return m.Term < other.Term || m.Term == other.Term && m.Number < other.Number
}

// ParseRosterMark reads what String wrote; "" is the mark before all others.
func ParseRosterMark(text string) (mark RosterMark, err error) {
	if text == "" {
		return mark, nil
	}
	term, number, _ := strings.Cut(text, "-")
	if mark.Term, err = strconv.ParseUint(term, 10, 64); err == nil {
		mark.Number, err = strconv.ParseUint(number, 10, 64)
	}
	if err != nil {
		return RosterMark{}, fmt.Errorf("%q is not <term>-<number>", Clip(text))
	}
	return mark, nil
}
