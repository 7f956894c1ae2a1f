//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// steadyFor is how long every in-sync set must be full before the next fault: what the last one did must have
// been noticed.
const steadyFor = time.Second

// observer follows the configurations of all slots and counts how they change hands.
type observer struct {
	lab    *Lab
	counts *counts

	mu    sync.Mutex
	nodes map[api.NodeID]api.SlotNode
	slots map[api.Slot]api.SlotConfig
}

func newObserver(lab *Lab, counts *counts) *observer {
	return &observer{lab: lab, counts: counts, nodes: map[api.NodeID]api.SlotNode{}, slots: map[api.Slot]api.SlotConfig{}}
}

// run follows until the context ends.
func (o *observer) run(ctx context.Context) {
	if o.lab.config.State == "none" { // the ring is all there is
		_ = o.lab.client.Watch(ctx, nil, func(view *ring.View) { o.take(feedOf(view.Table)) })
		return
	}
	_ = o.lab.client.WatchSlots(ctx, o.take)
}

// feedOf tells a ring as if its slots had replicas in sync.
func feedOf(table *ring.Table) (feed api.SlotFeed) {
	for _, node := range table.Nodes {
		feed.Nodes = append(feed.Nodes, api.SlotNode{ID: node.ID, Status: status[node.Status]})
	}
	for slot, epoch := range table.Epochs {
		config := api.SlotConfig{Slot: api.Slot(slot), Epoch: epoch}
		for _, index := range table.ReplicasOf(ring.Slot(slot)) {
			if node, known := table.Node(index); known {
				config.ISR = append(config.ISR, api.Replica{Node: node.ID})
			}
		}
		if len(config.ISR) > 0 {
			config.Primary = config.ISR[0].Node
		}
		feed.Slots = append(feed.Slots, config)
	}
	return feed
}

var status = map[ring.Status]api.NodeStatus{
	ring.StatusUp: api.NodeUp, ring.StatusDraining: api.NodeUp, ring.StatusSuspect: api.NodeSuspect, ring.StatusDown: api.NodeDown,
}

func (o *observer) take(feed api.SlotFeed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	moved, promoted := 0, 0
	for _, node := range feed.Nodes {
		o.nodes[node.ID] = node
	}
	for _, slot := range feed.Slots {
		before := o.slots[slot.Slot]
		o.slots[slot.Slot] = slot
		switch old := o.nodes[before.Primary]; {
		case before.Primary == "" || before.Primary == slot.Primary || slot.Epoch <= before.Epoch:
		case old.Status == api.NodeUp && !old.Left:
			moved++
		default:
			promoted++
		}
	}
	o.counts.do(func(t *Tally) { t.Moves, t.Promoted = t.Moves+moved, t.Promoted+promoted })
}

// lacking says what is missing until every slot has a primary and as many replicas in sync as it should, and
// every node is up; "" if nothing is.
func (o *observer) lacking() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range o.lab.fleet.Nodes {
		if o.nodes[api.NodeID(id)].Status != api.NodeUp {
			return fmt.Sprintf("%s to be up", id)
		}
	}
	if len(o.slots) < o.lab.config.Slots {
		return fmt.Sprintf("%d slots, %d are known", o.lab.config.Slots, len(o.slots))
	}
	for _, slot := range o.slots {
		if slot.Primary == "" || len(slot.ISR) < o.lab.config.Replicas || slot.Recovering {
			return fmt.Sprintf("slot %d to be whole: %+v", slot.Slot, slot)
		}
	}
	return ""
}

// unsettled says what is missing until every slot is where it should be; "" if nothing is.
func (o *observer) unsettled() string {
	if lack := o.lacking(); lack != "" {
		return lack
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, slot := range o.slots {
		if len(slot.Want) == 0 {
			continue
		}
		extra := slices.ContainsFunc(slot.ISR, func(r api.Replica) bool { return !slices.Contains(slot.Want, r.Node) })
		if extra || len(slot.ISR) != len(slot.Want) || slot.Primary != slot.Want[0] {
			return fmt.Sprintf("slot %d to be where it should: %+v", slot.Slot, slot)
		}
	}
	return ""
}

// awaitSteady waits until nothing has been missing for a while.
func (o *observer) awaitSteady(ctx context.Context, missing func() string) error {
	var since time.Time
	what := ""
	err := await(ctx, "the slots", func(context.Context) bool {
		if what = missing(); what != "" {
			since = time.Time{}
			return false
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= steadyFor
	})
	if err != nil {
		return fmt.Errorf("%w (%s)", err, what)
	}
	return nil
}

// all are the configurations by slot.
func (o *observer) all() []api.SlotConfig {
	o.mu.Lock()
	defer o.mu.Unlock()
	slots := make([]api.SlotConfig, 0, len(o.slots))
	for _, slot := range o.slots {
		slots = append(slots, slot)
	}
	slices.SortFunc(slots, func(a, b api.SlotConfig) int { return int(a.Slot) - int(b.Slot) })
	return slots
}
