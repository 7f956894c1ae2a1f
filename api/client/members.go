package client

import "sync/atomic"

// members is the list of control APIs and which of them to ask first: the one that answered last.
type members struct {
	urls      []string
	preferred atomic.Int64
}

func newMembers(urls []string, first int) *members {
	m := &members{urls: urls}
	m.preferred.Store(int64(first))
	return m
}

// first is the member to ask now.
func (m *members) first() int { return int(m.preferred.Load()) }

// after is the member to ask when one did not answer.
func (m *members) after(member int) int { return (member + 1) % len(m.urls) }

// answered makes a member the first to be asked.
func (m *members) answered(member int) { m.preferred.Store(int64(member)) }

// failed passes a member over, unless another call did so already.
func (m *members) failed(member int) {
	m.preferred.CompareAndSwap(int64(member), int64(m.after(member)))
}
