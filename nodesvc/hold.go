package nodesvc

import (
	"context"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// Hold runs during inside the slot of a key, for what lasts longer than a request, such as a WebSocket: the slot is
// not handed over before it returns. The context it is given ends when the slot is about to leave this node, when
// another node serves it, and when this one stops: then during must return within Config.DrainTimeout, or the
// slot stays for the time being. What it showed or changed meanwhile goes through Read and Update, as ever.
//
// An error says that during was not run; WriteError makes an answer of it.
func (n *Node) Hold(ctx context.Context, key []byte, during func(context.Context)) error {
	if n.config.Service == nil {
		slot, _, problem := n.slotOf(ctx, key)
		if problem != nil {
			return problem
		}
		n.hold(ctx, slot, during)
		return nil
	}
	return n.within(ctx, key, func(slots engine, slot api.Slot) error {
		return slots.Hold(ctx, slot, func() { n.hold(ctx, slot, during) })
	})
}

func (n *Node) hold(ctx context.Context, slot api.Slot, during func(context.Context)) {
	ctx, end := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer end()
	watching.Go(func() {
		defer end()
		n.awaitDeparture(ctx, slot)
	})
	during(ctx)
}

// awaitDeparture returns when this node does not serve the slot, or is not to any more.
func (n *Node) awaitDeparture(ctx context.Context, slot api.Slot) {
	for {
		where := n.where(slot)
		if where.Place != replication.PlaceHere {
			return
		}
		select {
		case <-where.Moved:
		case <-n.ending:
			return
		case <-n.failed:
			return
		case <-ctx.Done():
			return
		}
	}
}
