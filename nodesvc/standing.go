package nodesvc

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/nodesvc/replication"
)

// standing is where the node stands in the ring at one view. It is immutable: requests share it
// without locks and wait on superseded for the next.
type standing struct {
	view       *ring.View // nil before the first
	self       ring.NodeIndex
	superseded chan struct{} // closed once there is a newer standing
	// former is the ring that the node acted on before the generation it is in now, until it was
	// reported; nil: there is nothing to report.
	former *ring.View
	// told is the generation up to which it has reported.
	told uint64
}

// primaryOf reports whether the node serves the slot, and the epoch it knows of it.
func (s *standing) primaryOf(slot api.Slot) (bool, api.Epoch) {
	primary := s.view.Table.Primary(slot)
	return primary == s.self && primary != ring.NoNode, s.view.Table.Epochs[slot]
}

// where is how the node stands to a slot by the ring alone; without one nobody is anywhere.
func (s *standing) where(slot api.Slot) replication.Where {
	where := replication.Where{Moved: s.superseded}
	if s.view == nil || int(slot) >= s.view.Table.Bits.Slots() {
		return where
	}
	primary, epoch := s.primaryOf(slot)
	where.Epoch, where.Owner = epoch, s.ownerOf(slot)
	if primary {
		where.Place = replication.PlaceHere
	}
	return where
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
		former:     formerOf(last, view),
		told:       last.told,
	})
	close(last.superseded)
	return true
}

// formerOf is what there is to report once view is in force. What has not been reported stays: the
// node has not acted on anything since that it could have won slots by.
func formerOf(last *standing, view *ring.View) *ring.View {
	former := last.former
	if former == nil {
		former = last.view
	}
	generation := view.Table.Version.Generation
	if former == nil || former.Table.Version.Generation >= generation || generation <= last.told {
		return nil
	}
	return former
}

// remember is the ring that an earlier run of the node acted on; it comes before any other.
func (r *ringView) remember(kept *ring.View) {
	r.publish.Lock()
	defer r.publish.Unlock()
	last := r.current.Load()
	r.current.Store(&standing{self: ring.NoNode, superseded: make(chan struct{}), former: kept})
	close(last.superseded)
}

// reported notes that what the node acted on before a generation has been reported, or need not be.
func (r *ringView) reported(generation uint64) {
	r.publish.Lock()
	defer r.publish.Unlock()
	last := r.current.Load()
	if generation <= last.told {
		return
	}
	next := *last
	next.told, next.former, next.superseded = generation, nil, make(chan struct{})
	r.current.Store(&next)
	close(last.superseded)
}

// before is the newest ring that the node acted on before a generation, nil if there is none.
func (s *standing) before(generation uint64) *ring.View {
	switch {
	case s.former != nil && s.former.Table.Version.Generation < generation:
		return s.former
	case s.view != nil && s.view.Table.Version.Generation < generation:
		return s.view
	default:
		return nil
	}
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
