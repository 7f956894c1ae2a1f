// Package solo is the control plane of a cluster of one node, for tests of services: the node holds every slot
// and is never told otherwise.
package solo

import (
	"context"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Node is the id of the only node.
const Node api.NodeID = "n0"

// Control implements nodesvc.ControlPlane.
type Control struct{ view *ring.View }

// New makes the control plane of a cluster of state none with one key rule, such as "header:X-Shard-Key".
func New(keys string) (*Control, error) {
	settings := api.Settings{
		Service: "any", State: api.StateNone, Keys: []string{keys}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("0", 32),
	}
	table := ring.NewTable(api.ClusterID(strings.Repeat("0", 32)), ring.Bits(settings.SlotBits), settings.Replicas)
	table.Version = api.Version{Generation: 1, Number: 1}
	table.Nodes = []ring.Node{{ID: Node, Address: "127.0.0.1:1", Status: ring.StatusUp}}
	for slot := range table.Epochs {
		table.Epochs[slot], table.Owners[slot] = 1, 0
	}
	view, err := ring.NewView(settings, table)
	return &Control{view}, err
}

// Register accepts the node.
func (*Control) Register(context.Context, api.Registration) (api.Registered, error) {
	return api.Registered{Session: "s1"}, nil
}

// Beat hears the node.
func (*Control) Beat(context.Context, api.NodeID, api.Beat) (api.Beaten, error) {
	return api.Beaten{}, nil
}

// Report takes note of nothing.
func (*Control) Report(context.Context, api.NodeID, api.SessionID, *ring.View) error { return nil }

// ReportSlots takes note of nothing.
func (*Control) ReportSlots(context.Context, api.NodeID, api.SlotReport) error { return nil }

// Node knows nothing of the node.
func (*Control) Node(context.Context, api.NodeID) (api.Node, error) { return api.Node{}, nil }

// Drain does nothing: there is nobody to take slots.
func (*Control) Drain(context.Context, api.NodeID) (api.Changed, error) { return api.Changed{}, nil }

// Remove does nothing.
func (*Control) Remove(context.Context, api.NodeID, bool) (api.Changed, error) {
	return api.Changed{}, nil
}

// Watch tells the ring once.
func (c *Control) Watch(ctx context.Context, _ *ring.View, onView func(*ring.View)) error {
	onView(c.view)
	<-ctx.Done()
	return ctx.Err()
}

// WatchSlots tells nothing: in state none slots are what the ring says.
func (*Control) WatchSlots(ctx context.Context, _ func(api.SlotFeed)) error {
	<-ctx.Done()
	return ctx.Err()
}

// ProposeSlots decides nothing.
func (*Control) ProposeSlots(context.Context, api.SlotProposals) (api.SlotVerdicts, error) {
	return api.SlotVerdicts{}, nil
}
