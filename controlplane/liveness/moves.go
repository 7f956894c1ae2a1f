package liveness

import (
	"time"

	"github.com/stead-io/stead/api"
)

const (
	// paceStep is how far apart the points are at which the count of bytes is remembered, paceWindow what
	// the rate is taken over.
	paceStep   = time.Second
	paceWindow = 10 * time.Second
	// pacePoints bounds them: at so many every second one is dropped, but for the latest.
	pacePoints = 512
	// movesFresh is how long what a node said of its moves counts.
	movesFresh = 5 * time.Second
)

// moves is how far the nodes are with handing slots over, as they say in beats.
type moves struct {
	nodes  map[api.NodeID]*movesOfNode
	bytes  uint64      // copied since this leader began to listen
	points []pacePoint // ascending
}

type movesOfNode struct {
	at   time.Time
	said api.Moves
}

// pacePoint is how many bytes had been copied at a time.
type pacePoint struct {
	at    time.Time
	bytes uint64
}

// Pace is how far, and how fast, slots move: a sum over all nodes.
type Pace struct {
	Bytes     uint64 // copied since the time asked for, as far as this leader heard
	BytesLeft uint64
	Rate      uint64 // bytes per second lately
	Blocked   []api.MoveBlocked
}

// Moving notes what a node says of its moves.
func (t *Tracker) Moving(id api.NodeID, now time.Time, said api.Moves) {
	m := &t.moves
	if m.nodes == nil {
		m.nodes = make(map[api.NodeID]*movesOfNode)
	}
	m.mark(now)
	known, before := m.nodes[id]
	switch {
	case !before: // what it copied before this leader listened
	case said.BytesDone >= known.said.BytesDone:
		m.bytes += said.BytesDone - known.said.BytesDone
	default: // another process, which counts from 0
		m.bytes += said.BytesDone
	}
	m.nodes[id] = &movesOfNode{at: now, said: said}
}

// mark remembers the count of bytes, once a step.
func (m *moves) mark(now time.Time) {
	if last := len(m.points) - 1; last >= 0 && now.Sub(m.points[last].at) < paceStep {
		return
	}
	if len(m.points) == pacePoints {
		recent := pacePoints / 2
		for i := range recent / 2 {
			m.points[i] = m.points[2*i]
		}
		m.points = append(m.points[:recent/2], m.points[recent:]...)
	}
	m.points = append(m.points, pacePoint{now, m.bytes})
}

// at is the last point up to a time; before the first it is that.
func (m *moves) at(when time.Time) pacePoint {
	found := m.points[0]
	for _, point := range m.points {
		if point.at.After(when) {
			break
		}
		found = point
	}
	return found
}

// MovesOf is what a node said lately of its moves, nil if it did not.
func (t *Tracker) MovesOf(id api.NodeID, now time.Time) *api.Moves {
	if known := t.moves.nodes[id]; known != nil && now.Sub(known.at) < movesFresh {
		said := known.said
		return &said
	}
	return nil
}

// Pace sums up what the nodes said of their moves, bytes from since on.
func (t *Tracker) Pace(since, now time.Time) Pace {
	m := &t.moves
	if len(m.points) == 0 {
		return Pace{}
	}
	pace := Pace{Bytes: m.bytes - m.at(since).bytes}
	recent := m.at(now.Add(-paceWindow))
	if elapsed := now.Sub(recent.at); elapsed >= paceStep {
		pace.Rate = uint64(float64(m.bytes-recent.bytes) / elapsed.Seconds())
	}
	for id := range m.nodes {
		if said := t.MovesOf(id, now); said != nil {
			pace.BytesLeft += said.BytesLeft
			pace.Blocked = append(pace.Blocked, said.Blocked...)
		}
	}
	return pace
}
