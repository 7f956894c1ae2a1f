package nodesvc

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// standing is where the node stands in the ring at one view. It is immutable: requests share it
// without locks and wait on superseded for the next.
type standing struct {
	view       *ring.View // nil before the first
	self       ring.NodeIndex
	superseded chan struct{} // closed once there is a newer standing
}

// primaryOf reports whether the node serves the slot, and the epoch it knows of it.
func (s *standing) primaryOf(slot api.Slot) (bool, api.Epoch) {
	primary := s.view.Table.Primary(slot)
	return primary == s.self && primary != ring.NoNode, s.view.Table.Epochs[slot]
}

// ownerOf is the node that serves the slot, "" if none does.
func (s *standing) ownerOf(slot api.Slot) api.NodeID {
	owner, _ := s.view.Table.Node(s.view.Table.Primary(slot))
	return owner.ID
}

// holds counts the slots the node is a replica of.
func (s *standing) holds() int {
	if s.view == nil || s.self == ring.NoNode {
		return 0
	}
	count := 0
	for _, index := range s.view.Table.Owners {
		if index == s.self {
			count++
		}
	}
	return count
}

// ringView is the ring as the node sees it: the newest standing, and a way to wait for a newer.
type ringView struct {
	id      api.NodeID
	current atomic.Pointer[standing]

	publish sync.Mutex // one publisher at a time; readers take no lock
}

func newRingView(id api.NodeID) *ringView {
	r := &ringView{id: id}
	r.current.Store(&standing{self: ring.NoNode, superseded: make(chan struct{})})
	return r
}

// advance makes view the current one unless it is not newer; it reports whether it did.
func (r *ringView) advance(view *ring.View) bool {
	r.publish.Lock()
	defer r.publish.Unlock()
	last := r.current.Load()
	if last.view != nil && view.Table.Version.Compare(last.view.Table.Version) <= 0 {
		return false
	}
	r.current.Store(&standing{
		view:       view,
		self:       view.Table.IndexOf(r.id),
		superseded: make(chan struct{}),
	})
	close(last.superseded)
	return true
}

// until waits for a standing that satisfies enough, and returns the newest one either way.
func (r *ringView) until(ctx context.Context, enough func(*standing) bool) *standing {
	for {
		now := r.current.Load()
		if enough(now) {
			return now
		}
		select {
		case <-now.superseded:
		case <-ctx.Done():
			return r.current.Load()
		}
	}
}
