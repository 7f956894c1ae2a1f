// Package liveness turns beats and time into transitions: up, suspect, down.
//
// It is pure: the clock is an argument. What it knows is leader-local and dies with leadership; only
// the transitions it finds become commands. It owns no ownership decision: that a node is down never
// moves a slot by itself, the planner does that.
//
// Its invariant: no node is found silent before it had its whole ttl to beat to this very leader, and no
// proxy that an earlier leader heard before it had twice the time.
package liveness

import (
	"time"

	"github.com/stead-io/stead/api"
)

// Subject is a node as the state lists it.
type Subject struct {
	ID       api.NodeID
	Session  api.SessionID
	Status   api.NodeStatus
	TTL      time.Duration
	Static   bool // no beats: up, or as its probes say
	Failures int  // probe failures in a row that make a static node down; 0: it has no check
}

// Transition is a subject's new status and the reason, in words.
type Transition struct {
	ID      api.NodeID
	Session api.SessionID
	Status  api.NodeStatus
	Left    bool // it said that it stops: nothing is wrong with it
	Reason  string
}

// Tracker remembers when each node was last heard of. It is not safe for concurrent use.
type Tracker struct {
	since  time.Time // when this leader began to listen
	judged bool      // what was there when this leader began is known: what is new from here on registered with it
	nodes  map[api.NodeID]*record
	moves  moves
}

type record struct {
	session  api.SessionID // that was judged last
	heard    time.Time
	left     bool // it said that it stops
	failures int  // probes failed in a row
	probed   bool
	load     *api.Load
}

// NewTracker begins to listen: silence counts from now on.
func NewTracker(now time.Time) *Tracker {
	return &Tracker{since: now, nodes: make(map[api.NodeID]*record)}
}

// Restart lets silence count from now on: the listener itself was away.
func (t *Tracker) Restart(now time.Time) {
	t.since = now
	for _, known := range t.nodes {
		known.heard = now
	}
}

func (t *Tracker) record(id api.NodeID) *record {
	known, ok := t.nodes[id]
	if !ok {
		known = &record{heard: t.since}
		t.nodes[id] = known
	}
	return known
}

// Heard notes a registration or a healthy beat.
func (t *Tracker) Heard(id api.NodeID, now time.Time, load *api.Load) {
	known := t.record(id)
	known.heard, known.left = now, false
	if load != nil {
		known.load = load
	}
}

// Left notes that the node stops on purpose; it is down from here on, until it is heard again.
func (t *Tracker) Left(id api.NodeID) { t.record(id).left = true }

// Probed notes the outcome of a check of a static node.
func (t *Tracker) Probed(id api.NodeID, healthy bool, now time.Time) {
	known := t.record(id)
	known.probed = true
	if healthy {
		known.heard, known.failures = now, 0
		return
	}
	known.failures++
}

// Forget drops the nodes that keep does not hold.
func (t *Tracker) Forget(keep func(api.NodeID) bool) {
	for id := range t.nodes {
		if !keep(id) {
			delete(t.nodes, id)
		}
	}
	for id := range t.moves.nodes {
		if !keep(id) {
			delete(t.moves.nodes, id)
		}
	}
}

// LastHeard is how long ago the node was heard of, and what it said of its load.
func (t *Tracker) LastHeard(id api.NodeID, now time.Time) (ago time.Duration, load *api.Load, ok bool) {
	known, ok := t.nodes[id]
	if !ok || known.heard.Equal(t.since) {
		return 0, nil, false
	}
	return now.Sub(known.heard), known.load, true
}

// Quiet reports whether the node was not heard of for a while, as far as this leader can know, or said that it stops.
func (t *Tracker) Quiet(id api.NodeID, least time.Duration, now time.Time) bool {
	known, heard := t.nodes[id]
	if !heard {
		return now.Sub(t.since) >= least
	}
	return known.left || now.Sub(known.heard) >= least
}

// Judge finds the transitions that are due.
func (t *Tracker) Judge(subjects []Subject, now time.Time) []Transition {
	defer func() { t.judged = true }()
	var due []Transition
	for _, subject := range subjects {
		t.meet(subject, now)
		status, reason := t.judge(subject, now)
		if status != subject.Status {
			due = append(due, Transition{
				ID: subject.ID, Session: subject.Session, Status: status, Reason: reason,
				Left: status == api.NodeDown && t.record(subject.ID).left,
			})
		}
	}
	return due
}

// meet lets the silence of a session that is new count from now on: the state lists it before Heard is called.
func (t *Tracker) meet(subject Subject, now time.Time) {
	known := t.record(subject.ID)
	if t.judged && known.session != subject.Session && subject.Status != api.NodeDown && !subject.Static {
		known.heard, known.left = now, false
	}
	known.session = subject.Session
}

func (t *Tracker) judge(subject Subject, now time.Time) (api.NodeStatus, string) {
	if subject.Static {
		return t.judgeStatic(subject)
	}
	known := t.record(subject.ID)
	if known.left {
		return api.NodeDown, "it said that it stops"
	}
	silent := now.Sub(known.heard)
	switch {
	case subject.Status == api.NodeDown && known.heard.Equal(t.since):
		return api.NodeDown, "" // not heard by this leader: nothing new about it
	case silent >= subject.TTL:
		return api.NodeDown, "no beat for " + subject.TTL.String()
	case silent >= subject.TTL/2 && subject.Status == api.NodeDown:
		return api.NodeDown, "" // too late a beat to come back on
	case silent >= subject.TTL/2:
		return api.NodeSuspect, ""
	default:
		return api.NodeUp, ""
	}
}

func (t *Tracker) judgeStatic(subject Subject) (api.NodeStatus, string) {
	known := t.record(subject.ID)
	switch {
	case subject.Failures == 0:
		return api.NodeUp, ""
	case !known.probed:
		return subject.Status, ""
	case known.failures == 0:
		return api.NodeUp, ""
	case known.failures >= subject.Failures:
		return api.NodeDown, "its check failed"
	case subject.Status == api.NodeDown:
		return api.NodeDown, ""
	default:
		return api.NodeSuspect, ""
	}
}
