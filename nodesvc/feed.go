package nodesvc

import (
	"context"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// learn takes configurations from the control plane.
func (n *Node) learn(feed api.SlotFeed) {
	at, known := n.folder.home()
	if known && feed.Cluster != at.Cluster {
		n.logger.Error("slots of another cluster were told", "cluster", feed.Cluster)
		return
	}
	n.keeper.Load().engine.Learn(feed)
}

// learnRings tells the engine what each ring says of slots: in state none there are no other configurations.
func (n *Node) learnRings(ctx context.Context, slots engine) {
	self := api.Replica{Node: n.config.ID, Store: n.registration.StoreID}
	var told *ring.View
	for {
		now := n.ring.until(ctx, func(s *standing) bool { return s.view != nil && s.view != told })
		if ctx.Err() != nil {
			return
		}
		slots.Learn(feedOf(told, now.view, self))
		told = now.view
	}
}

// feedOf says in configurations what changed between two rings; all slots if there was none before, or one of
// another generation. Who is primary is alone in sync. There are no nodes in it: nobody dials them.
func feedOf(last, next *ring.View, self api.Replica) api.SlotFeed {
	table := next.Table
	feed := api.SlotFeed{
		Cluster:  table.Cluster,
		Version:  table.Version,
		Cursor:   api.SlotCursor{Generation: table.Version.Generation, Index: table.Version.Number},
		Full:     last == nil || last.Table.Version.Generation != table.Version.Generation,
		Settings: next.Settings,
	}
	for slot := range table.Epochs {
		if feed.Full || last.Table.Epochs[slot] != table.Epochs[slot] {
			feed.Slots = append(feed.Slots, configOf(table, api.Slot(slot), self))
		}
	}
	return feed
}

// configOf is the configuration of a slot by a ring.
func configOf(table *ring.Table, slot api.Slot, self api.Replica) api.SlotConfig {
	config := api.SlotConfig{Slot: slot, Epoch: table.Epochs[slot]}
	if primary, held := table.Node(table.Primary(slot)); held {
		config.Primary = primary.ID
		config.Want = []api.NodeID{primary.ID}
		config.ISR = []api.Replica{{Node: primary.ID}}
		if primary.ID == self.Node {
			config.ISR = []api.Replica{self}
		}
	}
	return config
}
