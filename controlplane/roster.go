package controlplane

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/liveness"
)

// rosterBoard holds the newest roster this member knows: its own while it leads, else the leader's, and
// without a leader the last there was.
type rosterBoard struct {
	current atomic.Pointer[api.Roster] // nil until one is known

	mu      sync.Mutex
	changed chan struct{}
}

func newRosterBoard() *rosterBoard { return &rosterBoard{changed: make(chan struct{})} }

// put takes a roster over unless a newer one is known.
func (b *rosterBoard) put(roster api.Roster) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.current.Load(); known != nil && !known.Mark.Before(roster.Mark) {
		return
	}
	b.current.Store(&roster)
	b.wakeLocked()
}

// wake has all who wait look again: this member may lead no longer.
func (b *rosterBoard) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeLocked()
}

func (b *rosterBoard) wakeLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *rosterBoard) changes() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Roster is the newest roster known here, nil before the first. It is shared: nobody changes it.
func (m *Member) Roster() *api.Roster { return m.roster.current.Load() }

// RosterChanged is closed when Roster is no longer the newest.
func (m *Member) RosterChanged() <-chan struct{} { return m.roster.changes() }

// AdoptRoster takes over what the leader tells, unless a newer roster is known.
func (m *Member) AdoptRoster(roster api.Roster) { m.roster.put(roster) }

// knownProxies is what a new leader begins with; nil: it knows of no fleet.
func (m *Member) knownProxies() []api.RosterItem {
	if known := m.Roster(); known != nil {
		return known.Proxies
	}
	return nil
}

// publishRoster tells the fleet if there is news of it. A leader that inherited no roster first waits
// until every proxy had time to beat: no member is to forget proxies that live.
func (m *Member) publishRoster(term uint64, now time.Time) {
	known := m.Roster()
	if known == nil && m.duties.ledFor(now) < liveness.RosterRipeAfter {
		return
	}
	next := api.Roster{Mark: api.RosterMark{Term: term, Number: 1}}
	news := known == nil || known.Mark.Term != term
	m.duties.with(func(_ *liveness.Tracker, fleet *liveness.Fleet) {
		if news = fleet.News(now) || news; news {
			next.Proxies = fleet.Roster(now)
		}
	})
	if !news || next.Proxies == nil {
		return
	}
	if known != nil && known.Mark.Term == term {
		next.Mark.Number = known.Mark.Number + 1
	}
	m.roster.put(next)
}
