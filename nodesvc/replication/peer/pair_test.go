package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

func testHello(node api.NodeID) Hello {
	return Hello{
		Cluster: "00112233445566778899aabbccddeeff", Node: node, Store: "store-" + api.StoreID(node), Nonce: "1",
		SlotBits: 8, State: api.StateManaged,
	}
}

// recorder is a handler that writes down what it hears. A frame with the body "block" holds it up.
type recorder struct {
	mu      sync.Mutex
	heard   []string
	release chan struct{}
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, fmt.Sprintf(format, args...))
}

func (r *recorder) Linked(from Hello) { r.note("linked %s", from.Node) }
func (r *recorder) Lost(from Hello)   { r.note("lost %s", from.Node) }

func (r *recorder) Receive(from Hello, kind uint8, body []byte) {
	r.note("%s %d %s", from.Node, kind, body)
	if string(body) == "block" {
		<-r.release
	}
}

// take returns what was heard since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	heard := r.heard
	r.heard = nil
	return heard
}

func (r *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// wires connects links in memory; an address is a node's id, after "old-" too.
type wires struct {
	links map[string]*Links
	dials atomic.Int64
	mute  atomic.Pointer[string] // what is written to this address is lost
	cut   atomic.Bool            // nobody is reached
}

func (w *wires) dial(_ context.Context, _ api.NodeID, address string) (net.Conn, error) {
	w.dials.Add(1)
	to := w.links[strings.TrimPrefix(address, "old-")]
	if to == nil || w.cut.Load() {
		return nil, errors.New("nobody is there")
	}
	here, there := net.Pipe()
	to.Accept(there, "")
	return &mutable{Conn: here, wires: w, address: address}, nil
}

type mutable struct {
	net.Conn
	wires   *wires
	address string
}

func (m *mutable) NetConn() net.Conn { return m.Conn }

func (m *mutable) Write(p []byte) (int, error) {
	if muted := m.wires.mute.Load(); muted != nil && *muted == m.address {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// pair is nodes a and b in a bubble, linked.
type pair struct {
	*wires
	a, b         *Links
	heardA, hear *recorder // of a, and of b
}

func nodes(ids ...string) []api.SlotNode {
	var list []api.SlotNode
	for _, id := range ids {
		list = append(list, api.SlotNode{ID: api.NodeID(strings.TrimPrefix(id, "old-")), Address: id, Status: api.NodeUp})
	}
	return list
}

func (w *wires) open(id api.NodeID, handler Handler, change func(*Config)) *Links {
	config := Config{Self: testHello(id), Handler: handler, Dial: w.dial}
	if change != nil {
		change(&config)
	}
	links := Open(config)
	w.links[string(id)] = links
	return links
}

// inPair runs f in a bubble with two linked nodes, and closes them afterwards.
func inPair(t *testing.T, change func(*Config), f func(t *testing.T, p *pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &wires{links: map[string]*Links{}}
		p := &pair{wires: w, heardA: &recorder{}, hear: &recorder{release: make(chan struct{})}}
		p.a, p.b = w.open("a", p.heardA, change), w.open("b", p.hear, change)
		p.a.Follow(nodes("a", "b"))
		p.b.Follow(nodes("a", "b"))
		synctest.Wait()
		p.heardA.expect(t, "linked b")
		p.hear.expect(t, "linked a")
		f(t, p)
		_, _ = p.a.Close(), p.b.Close()
	})
}

// leaveB closes a, for the test to be in its place.
func (p *pair) leaveB(t *testing.T) {
	t.Helper()
	_ = p.a.Close()
	synctest.Wait()
	p.hear.expect(t, "lost a")
}

// greet opens a connection to b that the test writes to.
func (p *pair) greet(t *testing.T, self Hello) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	p.b.Accept(there, "")
	link, err := greeter{self: self, timeout: time.Second, silence: time.Second}.call(here, "b")
	if err != nil {
		t.Fatal(err)
	}
	return link.conn
}
