package replication

import (
	"maps"

	"github.com/stead-io/stead/api"
)

// directory is what is known of the nodes and the cluster.
type directory struct {
	nodes    map[api.NodeID]api.SlotNode
	settings api.Settings
}

// Learn takes configurations from the control plane.
func (e *Engine) Learn(feed api.SlotFeed) {
	nodes := make(map[api.NodeID]api.SlotNode, len(feed.Nodes))
	for _, node := range feed.Nodes {
		nodes[node.ID] = node
	}
	same := maps.Equal(nodes, e.nodes.Load().nodes)
	e.nodes.Store(&directory{nodes: nodes, settings: feed.Settings})
	if e.config.Network != nil && !same {
		e.config.Network.Follow(feed.Nodes)
	}
	for _, told := range feed.Slots {
		if int(told.Slot) < len(e.slots) {
			e.slot(told.Slot).learn(told, order(feed.Cursor))
		}
	}
	if !e.told.Swap(true) {
		e.each((*slot).wake)
	}
	upTo, since := order(feed.Cursor), e.since()
	if before := e.heard.Swap(upTo); !same || before < since && upTo >= since {
		e.each(e.attend) // what is not told again stands as it was told
	}
}

// order makes cursors comparable: generations first.
func order(cursor api.SlotCursor) uint64 {
	const indexBits = 40
	return cursor.Generation<<indexBits + cursor.Index
}

// Registered says where each session began. Since the first one this process may be primary: configurations that
// were read before may have been made for a predecessor. In a new generation it is called after the report.
func (e *Engine) Registered(cursor api.SlotCursor) {
	if e.registered.CompareAndSwap(unregistered, order(cursor)) {
		e.each((*slot).reconsider) // what was made by registering may have been told before its answer came
	}
	if e.session.Swap(cursor.Generation) < cursor.Generation {
		e.each(e.attend) // what was not given up before may be now
	}
}

// unregistered is later than any index.
const unregistered = ^uint64(0)

func (e *Engine) since() uint64 { return e.registered.Load() }

func (e *Engine) node(id api.NodeID) (api.SlotNode, bool) {
	node, known := e.nodes.Load().nodes[id]
	return node, known
}

func (e *Engine) replicas() int  { return e.nodes.Load().settings.Replicas }
func (e *Engine) minInSync() int { return e.nodes.Load().settings.MinInSync }
func (e *Engine) leaving() bool  { return e.leaves.Load() }
func (e *Engine) diskFull() bool { return e.full.Load() }

// wake lets those look again who wait to hear of the slot.
func (s *slot) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announce()
}

// reconsider takes up what was told of the slot before it was known since when this process may be primary.
func (s *slot) reconsider() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil && s.read >= s.engine.since() && !s.engine.former(s.config.Epoch) {
		s.setConfig(s.config)
	}
}
