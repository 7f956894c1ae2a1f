package membership

import (
	"time"

	"github.com/stead-io/stead/api"
)

// Whether a member keeps up with the leader is told by rounds (Ongaro's thesis, 4.2.1): a round begins with what the
// leader has applied and ends when the member says that it has applied that too. Counting entries
// instead would never come to an end under load, or be too generous without.
const (
	// RoundMax is how long a round takes at most for a member that keeps up; members tell how far they
	// are once a second.
	RoundMax = 4 * time.Second
	// roundsNeeded in a row prove it.
	roundsNeeded = 2
)

// Pace measures who keeps up with the leader. It begins anew with each leader.
type Pace struct {
	rounds map[api.MemberID]*round
}

type round struct {
	goal  uint64
	begun time.Time
	short int // rounds in a row that took no longer than RoundMax
}

// NewPace knows nobody.
func NewPace() *Pace { return &Pace{rounds: make(map[api.MemberID]*round)} }

// Note takes in what a member said it has applied, beside what the leader has.
func (p *Pace) Note(id api.MemberID, applied, leader uint64, now time.Time) {
	current := p.rounds[id]
	switch {
	case current == nil:
		p.rounds[id] = &round{goal: leader, begun: now}
		return
	case applied >= current.goal && now.Sub(current.begun) <= RoundMax:
		current.short = min(current.short+1, roundsNeeded)
	case applied >= current.goal, now.Sub(current.begun) > RoundMax:
		current.short = 0
	}
	if applied >= current.goal {
		current.goal, current.begun = leader, now
	}
}

// KeepsUp reports whether a member's last rounds were short.
func (p *Pace) KeepsUp(id api.MemberID) bool {
	current := p.rounds[id]
	return current != nil && current.short >= roundsNeeded
}

// Forget drops members that are listed no more.
func (p *Pace) Forget(listed func(api.MemberID) bool) {
	for id := range p.rounds {
		if !listed(id) {
			delete(p.rounds, id)
		}
	}
}
