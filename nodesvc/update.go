package nodesvc

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// Update changes the state of a key. With the key locked, propose looks at the state and makes the record of
// what is to change; Update returns once the record is on the disks of all replicas in sync and applied here,
// with what Apply returned. A nil record changes nothing, an error of propose neither: they are returned once
// it is certain that what propose saw was current.
//
// An *api.Problem says otherwise: of one that is Retryable nothing was appended; after outcome_unknown the
// record may or may not be applied. WriteError makes answers of all of them. The context's end frees the
// caller, not the key: a record on its way arrives.
//
// propose may be called again if the slot moved away and came back, and runs while the key is locked: it must
// not call Update.
func (n *Node) Update(ctx context.Context, key []byte, propose func() ([]byte, error)) (any, error) {
	var proposed atomic.Bool
	recording := func() ([]byte, error) {
		record, err := propose()
		proposed.Store(err == nil && record != nil)
		return record, err
	}
	var result any
	err := n.within(ctx, key, func(slots engine, slot api.Slot) (err error) {
		result, err = slots.Update(ctx, slot, key, recording)
		return err
	})
	if p := passageOf(ctx); p != nil && proposed.Load() && !untouched(err) {
		p.appended.Store(true)
	}
	return result, err
}

// untouched reports whether an error says that nothing was appended: that is what makes a problem retryable.
func untouched(err error) bool {
	var problem *api.Problem
	return errors.As(err, &problem) && problem.Retryable()
}

// Read runs read, which looks at the state of a key, and returns once it is certain that what it saw was
// current at some moment since the call: every replica in sync has confirmed it. Until then nothing of it may
// be shown to anybody. A request with the header Stead-Read: local takes what this node believes, unconfirmed.
func (n *Node) Read(ctx context.Context, key []byte, read func() error) error {
	p := passageOf(ctx)
	local := p != nil && p.local
	return n.within(ctx, key, func(slots engine, slot api.Slot) error {
		return slots.Read(ctx, slot, read, local)
	})
}

// within finds the engine and the slot of a key. While the slot is on its way here, the caller counts as
// parked.
func (n *Node) within(ctx context.Context, key []byte, do func(engine, api.Slot) error) error {
	keeper := n.keeper.Load()
	if keeper == nil {
		return n.unopened()
	}
	slot, foreign, problem := n.slotOf(ctx, key)
	if problem != nil {
		return problem
	}
	if keeper.engine.Where(slot).Place == replication.PlaceComing {
		leave, ok := n.parking.enter(parkedCostMin)
		if !ok {
			return parkingFull()
		}
		defer leave()
	}
	err := do(keeper.engine, slot)
	if foreign && api.CodeOf(err) == api.CodeNotOwner {
		return api.NewProblem(api.CodeSlotMoving, "the request's slot is here, slot %d of another key it needs is not", slot)
	}
	return err
}

// slotOf finds the slot of a key: that of the request under way, if it is its key; foreign otherwise, in a
// request.
func (n *Node) slotOf(ctx context.Context, key []byte) (slot api.Slot, foreign bool, problem *api.Problem) {
	p := passageOf(ctx)
	if p != nil && p.route.Key != nil && bytes.Equal(key, p.route.Key) {
		return p.route.Slot, false, nil
	}
	view := n.View()
	if view == nil {
		return 0, false, noRing()
	}
	slot = view.Slot(key)
	return slot, p != nil && p.route.Key != nil && slot != p.route.Slot, nil
}

// Epoch is the slot's epoch while this node serves it: a fencing token for systems outside, since no other
// node serves the slot in this epoch or a lower one.
func (n *Node) Epoch(slot api.Slot) (epoch api.Epoch, serves bool) {
	where := n.where(slot)
	return where.Epoch, where.Place == replication.PlaceHere
}
