package replication

import (
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// confirmsInFlight is how many questions to one node are on their way at once: what is asked meanwhile goes
// with the next.
const confirmsInFlight = 2

// confirms asks other nodes whether they are at the epochs that reads here depend on, many slots at a time.
type confirms struct {
	engine *Engine

	mu    sync.Mutex
	nodes map[api.NodeID]*confirmNode
	last  uint64
}

// confirmNode is what is asked of one node.
type confirmNode struct {
	asked map[uint64]*batch
	next  *batch // not sent yet
}

// batch is one question, on behalf of many reads.
type batch struct {
	at      time.Time
	slots   []SlotEpoch
	answers []*answer
	same    map[SlotEpoch]*answer
}

// answer is closed with the verdict on one slot and epoch.
type answer struct {
	given chan struct{}
	yes   bool // written before given is closed
}

func (a *answer) give(yes bool) {
	a.yes = yes
	close(a.given)
}

func newConfirms(engine *Engine) *confirms {
	return &confirms{engine: engine, nodes: make(map[api.NodeID]*confirmNode)}
}

// ask has a member asked. Reads of one slot that go with one question share the answer.
func (c *confirms) ask(of member, slot SlotEpoch) *answer {
	if hello, linked := c.engine.peer(of.Node); !linked || hello.Store != of.Store {
		refused := &answer{given: make(chan struct{})}
		refused.give(false)
		return refused
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.nodes[of.Node]
	if node == nil {
		node = &confirmNode{asked: make(map[uint64]*batch)}
		c.nodes[of.Node] = node
	}
	if node.next == nil {
		node.next = &batch{at: time.Now(), same: make(map[SlotEpoch]*answer)}
	}
	a := node.next.add(slot)
	if len(node.asked) < confirmsInFlight {
		c.send(of.Node, node)
	}
	return a
}

func (b *batch) add(slot SlotEpoch) *answer {
	if a := b.same[slot]; a != nil {
		return a
	}
	a := &answer{given: make(chan struct{})}
	b.same[slot] = a
	b.slots, b.answers = append(b.slots, slot), append(b.answers, a)
	return a
}

// send asks what has gathered.
func (c *confirms) send(to api.NodeID, node *confirmNode) {
	asked := node.next
	node.next = nil
	c.last++
	node.asked[c.last] = asked
	asked.at = time.Now()
	if !c.engine.send(to, Confirm{ID: c.last, Slots: asked.slots}) {
		delete(node.asked, c.last)
		asked.fail()
	}
}

func (b *batch) fail() {
	for _, a := range b.answers {
		a.give(false)
	}
}

// onConfirmed takes an answer.
func (c *confirms) onConfirmed(from api.NodeID, m Confirmed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.nodes[from]
	if node == nil || node.asked[m.ID] == nil {
		return
	}
	asked := node.asked[m.ID]
	delete(node.asked, m.ID)
	refused := make(map[uint16]bool, len(m.Refused))
	for _, place := range m.Refused {
		refused[place] = true
	}
	for i, a := range asked.answers {
		a.give(!refused[uint16(i)])
	}
	if node.next != nil {
		c.send(from, node)
	}
}

// lost fails all that was asked of a node.
func (c *confirms) lost(of api.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.nodes[of]
	if node == nil {
		return
	}
	delete(c.nodes, of)
	for _, asked := range node.asked {
		asked.fail()
	}
	if node.next != nil {
		node.next.fail()
	}
}

// waiting is since when the oldest question to a node has had no answer; zero: there is none.
func (c *confirms) waiting(of api.NodeID) (since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.nodes[of]
	if node == nil {
		return since
	}
	for _, asked := range node.asked {
		if since.IsZero() || asked.at.Before(since) {
			since = asked.at
		}
	}
	return since
}

// onConfirm answers whether this store still is at the epochs asked about.
func (e *Engine) onConfirm(from api.NodeID, m Confirm) {
	var refused []uint16
	for i, asked := range m.Slots {
		if !e.slot(asked.Slot).confirms(asked.Epoch) {
			refused = append(refused, uint16(i))
		}
	}
	e.count.epochsRefused.Add(uint64(len(refused)))
	e.send(from, Confirmed{ID: m.ID, Refused: refused})
}

func (s *slot) confirms(epoch api.Epoch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.engine.former(epoch) && ownership.Confirms(s.meta.Adopted, epoch)
}
