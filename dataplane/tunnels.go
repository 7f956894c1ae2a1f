package dataplane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/tunnel"
	"github.com/stead-io/stead/dataplane/routing"
	"github.com/stead-io/stead/dataplane/tracing"
)

// OnMove is what becomes of a tunnel when its slot moves to another node.
type OnMove string

const (
	// OnMoveClose ends it, so that its client connects again and comes to the other node.
	OnMoveClose OnMove = "close"
	// OnMoveHold leaves it to client and node.
	OnMoveHold OnMove = "hold"
)

// dismissal is how long before the end of a drain the tunnels that are left are ended: to say so takes a moment.
const dismissal = time.Second

// joined is a tunnel, and where it leads.
type joined struct {
	*tunnel.Tunnel
	node  api.NodeID
	keyed bool // it has a slot, in the epoch it was opened in
	slot  api.Slot
	epoch api.Epoch
	span  *tracing.Tunnel // nil: it has none
}

// moved reports whether the slot has another node in a ring. One without a node may come back to where it was, and
// a ring older than the tunnel says nothing.
func (j *joined) moved(table *routing.Table) bool {
	ring := table.View.Table
	if !j.keyed || int(j.slot) >= ring.Bits.Slots() || ring.Epochs[j.slot] < j.epoch {
		return false
	}
	owner, held := ring.Node(ring.Primary(j.slot))
	return held && owner.ID != j.node
}

// tunnels are the connections that changed protocols. They last longer than their requests, and are counted, ended
// and awaited apart from them.
type tunnels struct {
	onMove       OnMove
	total, moved atomic.Uint64

	mu        sync.Mutex
	open      map[*joined]struct{}
	dismissed bool // the proxy ends: none may go on
}

func newTunnels(onMove OnMove) *tunnels {
	return &tunnels{onMove: onMove, open: make(map[*joined]struct{})}
}

// carry runs a tunnel to its end, which comes soon if the ring in force says so already.
func (t *tunnels) carry(j *joined, routes *routing.Routes) {
	t.total.Add(1)
	if !t.enter(j) {
		j.End(tunnel.Leaving)
	}
	t.judge(j, routes.Table()) // a ring that came before it entered has judged all but this
	j.over(j.Run())
	t.leave(j)
	j.Part()
}

func (t *tunnels) enter(j *joined) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[j] = struct{}{}
	return !t.dismissed
}

func (t *tunnels) leave(j *joined) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, j)
}

// judge ends a tunnel whose slot has moved, unless it is to be held.
func (t *tunnels) judge(j *joined, table *routing.Table) {
	if t.onMove == OnMoveClose && j.moved(table) && j.End(tunnel.Moved) {
		t.moved.Add(1)
	}
}

// heed judges all tunnels by each new ring, until the context ends.
func (t *tunnels) heed(ctx context.Context, routes *routing.Routes) {
	arrived := routes.Arrived()
	for {
		select {
		case <-arrived:
		case <-ctx.Done():
			return
		}
		table := routes.Table()
		t.each(func(j *joined) { t.judge(j, table) })
		arrived = table.Superseded
	}
}

// dismissBefore ends what is left shortly before the context does, unless it is spared that.
func (t *tunnels) dismissBefore(ctx context.Context) (spare func()) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return func() {}
	}
	left := time.Until(deadline)
	timer := time.AfterFunc(max(left-dismissal, left/2), t.dismiss)
	return func() { timer.Stop() }
}

// dismiss ends all tunnels, those to come too.
func (t *tunnels) dismiss() {
	t.mu.Lock()
	t.dismissed = true
	t.mu.Unlock()
	t.each(func(j *joined) { j.End(tunnel.Leaving) })
}

func (t *tunnels) each(do func(*joined)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for j := range t.open {
		do(j)
	}
}

// count is how many are open now.
func (t *tunnels) count() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(len(t.open))
}
