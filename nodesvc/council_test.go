package nodesvc_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/api/ring"
)

// council is the least control plane that managed nodes can live with: once as many as it expects have
// registered, the first holds all slots with the others in sync; and it decides what they propose.
type council struct {
	view   *ring.View
	expect int

	mu      sync.Mutex
	nodes   []api.SlotNode
	configs []api.SlotConfig
	updated []uint64 // index of each slot's last change
	index   uint64
	changed chan struct{}
}

func newCouncil(expect int) *council {
	settings := api.Settings{
		Service: "counters", State: api.StateManaged, Keys: []string{"header:X"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: expect, Hash: api.HashSipHash24, HashKey: strings.Repeat("5a", 16),
	}
	table := ring.NewTable(api.ClusterID(strings.Repeat("0a", 16)), ring.Bits(settings.SlotBits), settings.Replicas)
	table.Version = api.Version{Generation: 1, Number: 1}
	view, err := ring.NewView(settings, table)
	if err != nil {
		panic(err)
	}
	return &council{view: view, expect: expect, changed: make(chan struct{})}
}

// change makes the next index; the council is locked.
func (c *council) change() {
	c.index++
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *council) cursor() api.SlotCursor { return api.SlotCursor{Generation: 1, Index: c.index} }

func (c *council) Register(_ context.Context, asked api.Registration) (api.Registered, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked.State != api.StateManaged {
		return api.Registered{}, api.NewProblem(api.CodeServiceMismatch, "")
	}
	c.nodes = append(c.nodes, api.SlotNode{ID: asked.ID, Address: asked.Address, Store: asked.StoreID, Status: api.NodeUp})
	answer := api.Registered{Session: api.SessionID(asked.Nonce), BeatEvery: api.Duration(api.NodeBeatInterval), Cursor: c.cursor()}
	c.change()
	if len(c.nodes) == c.expect {
		c.found()
	}
	return answer, nil
}

func (c *council) found() {
	config := api.SlotConfig{Epoch: 1}
	slices.SortFunc(c.nodes, func(a, b api.SlotNode) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, node := range c.nodes {
		config.ISR = append(config.ISR, api.Replica{Node: node.ID, Store: node.Store})
		config.Want = append(config.Want, node.ID)
	}
	config.Primary = c.nodes[0].ID
	for slot := range c.view.Table.Bits.Slots() {
		config.Slot = api.Slot(slot)
		c.configs, c.updated = append(c.configs, config), append(c.updated, c.index+1)
	}
	c.change()
}

func (c *council) WatchSlots(ctx context.Context, onFeed func(api.SlotFeed)) error {
	told := uint64(0)
	for {
		c.mu.Lock()
		feed := api.SlotFeed{
			Cluster: c.view.Table.Cluster, Cursor: c.cursor(), Full: told == 0, Settings: c.view.Settings,
			Nodes: slices.Clone(c.nodes),
		}
		for slot, config := range c.configs {
			if c.updated[slot] > told {
				feed.Slots = append(feed.Slots, config)
			}
		}
		told = c.index
		changed := c.changed
		c.mu.Unlock()
		onFeed(feed)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *council) ProposeSlots(_ context.Context, asked api.SlotProposals) (verdicts api.SlotVerdicts, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range asked.Proposals {
		now := &c.configs[p.Slot]
		refusal := c.decide(now, asked.Node, p)
		verdicts.Verdicts = append(verdicts.Verdicts, api.SlotVerdict{Config: *now, Refusal: string(refusal)})
	}
	c.change()
	verdicts.Cursor = c.cursor()
	return verdicts, nil
}

func (c *council) decide(now *api.SlotConfig, by api.NodeID, p api.SlotProposal) ownership.Refusal {
	kind, _ := ownership.ParseKind(p.Kind)
	next, refusal := ownership.Decide(
		ownership.Config[api.Replica]{Epoch: now.Epoch, Primary: now.PrimaryReplica(), ISR: now.ISR},
		ownership.Proposal[api.Replica]{Kind: kind, By: c.replica(by), Base: p.Base, Primary: c.replica(p.Primary), ISR: p.ISR, Silent: p.Silent},
		ownership.Facts[api.Replica]{
			Replicas:   c.expect,
			Registered: func(m api.Replica) bool { return c.replica(m.Node) == m },
			Up:         func(m api.Replica) bool { return c.node(m.Node).Status == api.NodeUp },
			Wanted:     func(m api.Replica) bool { return slices.Contains(now.Want, m.Node) },
			Missing:    func(isr []api.Replica) int { return len(now.Want) - len(isr) },
		})
	if refusal == ownership.Accepted {
		now.Epoch, now.Primary, now.ISR = next.Epoch, next.Primary.Node, next.ISR
		c.updated[p.Slot] = c.index + 1
	}
	return refusal
}

func (c *council) node(id api.NodeID) *api.SlotNode {
	i := slices.IndexFunc(c.nodes, func(node api.SlotNode) bool { return node.ID == id })
	if i < 0 {
		return &api.SlotNode{}
	}
	return &c.nodes[i]
}

func (c *council) replica(id api.NodeID) api.Replica {
	return api.Replica{Node: id, Store: c.node(id).Store}
}

func (c *council) Beat(_ context.Context, id api.NodeID, beat api.Beat) (api.Beaten, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if beat.Leaving {
		c.node(id).Status, c.node(id).Left = api.NodeDown, true
		c.change()
	}
	return api.Beaten{}, nil
}

func (c *council) Watch(ctx context.Context, _ *ring.View, onView func(*ring.View)) error {
	onView(c.view)
	<-ctx.Done()
	return ctx.Err()
}

func (*council) Report(context.Context, api.NodeID, api.SessionID, *ring.View) error { return nil }
func (*council) ReportSlots(context.Context, api.NodeID, api.SlotReport) error       { return nil }
func (*council) Node(context.Context, api.NodeID) (api.Node, error)                  { return api.Node{}, nil }
func (*council) Drain(context.Context, api.NodeID) (api.Changed, error)              { return api.Changed{}, nil }
func (*council) Remove(context.Context, api.NodeID, bool) (api.Changed, error) {
	return api.Changed{}, nil
}
