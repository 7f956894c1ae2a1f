package nodesvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/nodesvc/replication"
)

// Node is this process as a member of the ring. Its methods are safe for concurrent use.
type Node struct {
	config       Config
	logger       *slog.Logger
	folder       *folder
	registration api.Registration
	control      ControlPlane
	hangUp       func() // closes the client that Open made, if it did

	ring   *ringView
	live   chan struct{} // closed at the first ring from the control plane
	reborn chan struct{} // holds a token while a new generation waits to be registered in
	gate   gate
	health *health
	canary *canary
	stats  counters

	parking parking
	keeper  atomic.Pointer[keeper] // nil until opened, and for ever without a Service
	keeping chan struct{}          // closed once there is a keeper

	registered atomic.Pointer[api.Registered] // the last registration; nil before the first
	leaving    chan struct{}                  // closed when the node stops being a member
	ending     chan struct{}                  // closed when what is inside should end
	resigned   chan struct{}                  // closed when the membership loop has ended
	resign     context.CancelFunc             // cuts the membership loop's calls short
	leaveOnce  sync.Once
	leaveErr   error
	closeOnce  sync.Once
	closeErr   error

	stop    context.CancelFunc
	running sync.WaitGroup

	failOnce sync.Once
	failed   chan struct{}
	failure  error // written before failed is closed
}

// Open locks the data folder and makes the process a node: in the background it watches the ring,
// registers once the service is well, and beats. It returns without waiting for the control plane,
// which may be away; a refusal that trying again cannot mend ends the node (Done, Err).
func Open(config Config) (*Node, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open node: %w", err)
	}
	n := &Node{
		config:   config,
		logger:   config.Logger,
		control:  config.ControlPlane,
		hangUp:   func() {},
		ring:     newRingView(config.ID),
		live:     make(chan struct{}),
		reborn:   make(chan struct{}, 1),
		keeping:  make(chan struct{}),
		parking:  parking{requestsMax: int64(config.ParkedMax), bytesMax: math.MaxInt64},
		health:   newHealth(config.Healthy, config.TTL),
		leaving:  make(chan struct{}),
		ending:   make(chan struct{}),
		resigned: make(chan struct{}),
		failed:   make(chan struct{}),
	}
	if n.logger == nil {
		n.logger = slog.New(slog.DiscardHandler)
	}
	n.logger = n.logger.With("node", config.ID)
	if config.openEngine == nil {
		n.config.openEngine = openEngine
	}
	if err := n.connect(); err != nil {
		return nil, err
	}
	layout := layoutPlain
	if config.Service != nil {
		layout, n.parking = layoutSlots, parking{requestsMax: math.MaxInt64, bytesMax: ParkedBytesMax}
	}
	folder, err := openFolder(config.DataDir, config.ID, layout)
	if err != nil {
		n.hangUp()
		return nil, err
	}
	n.folder = folder
	n.canary = newCanary(n.canaryWrite(), config.TTL)
	n.registration = config.registration()
	n.registration.StoreID = folder.identity.StoreID
	n.registration.Boot = folder.identity.Boot
	n.registration.Nonce = randomHex(16)
	n.start()
	return n, nil
}

func (n *Node) connect() error {
	if n.control != nil {
		return nil
	}
	made, err := client.New(client.Config{
		Members:  n.config.Control,
		Security: n.config.Security,
		Token:    n.config.Token,
		Actor:    "node " + string(n.config.ID),
		Logger:   n.logger,
	})
	if err != nil {
		return err
	}
	n.control, n.hangUp = made, made.Close
	return nil
}

// start begins every goroutine of the node; Close ends them.
func (n *Node) start() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	member, resign := context.WithCancel(ctx)
	n.resign = resign
	if n.keepsViews() {
		kept := n.keptView() // read before the watch writes to the folder
		n.ring.remember(kept)
		n.running.Go(func() { n.adopt(ctx, kept) })
		n.running.Go(func() { n.keepViews(ctx) })
	}
	n.running.Go(func() { _ = n.control.Watch(ctx, nil, n.follow) })
	n.running.Go(func() { n.health.run(ctx, api.NodeBeatInterval) })
	n.running.Go(func() { n.canary.run(ctx) })
	if n.config.Service != nil {
		n.running.Go(func() { n.keepSlots(ctx) })
	}
	n.running.Go(func() {
		defer close(n.resigned)
		n.belong(member)
	})
}

// ID is the node's id.
func (n *Node) ID() api.NodeID { return n.config.ID }

// View is the newest ring the node knows, nil before the first.
func (n *Node) View() *ring.View { return n.ring.current.Load().view }

// Owns reports whether the node serves the slot, as far as it knows.
func (n *Node) Owns(slot api.Slot) bool { return n.where(slot).Place == replication.PlaceHere }

// SlotInfo is one slot the node serves.
type SlotInfo struct {
	Slot  api.Slot  `json:"slot"`
	Epoch api.Epoch `json:"epoch"`
}

// Slots lists the slots the node serves, ascending.
func (n *Node) Slots() []SlotInfo {
	slots := []SlotInfo{}
	view := n.View()
	if view == nil {
		return slots
	}
	for i := range view.Table.Bits.Slots() {
		slot := api.Slot(i)
		if epoch, serves := n.Epoch(slot); serves {
			slots = append(slots, SlotInfo{Slot: slot, Epoch: epoch})
		}
	}
	return slots
}

// Ready reports why the node should not be sent requests now, nil if it should.
func (n *Node) Ready() *api.Problem {
	if n.gate.isShut() {
		return draining()
	}
	if n.View() == nil {
		return noRing()
	}
	if n.config.Service != nil && n.keeper.Load() == nil {
		return n.unopened()
	}
	if ailment := n.ailment(time.Now()); ailment != "" {
		return api.NewProblem(api.CodeServiceUnhealthy, "%s", ailment)
	}
	return nil
}

// ailment says why the node should not count as alive now, "" if it should: its service is not well, or
// its disk.
func (n *Node) ailment(now time.Time) string {
	if ailment := n.health.ailment(now); ailment != "" {
		return ailment
	}
	return n.canary.ailment(now)
}

// canaryWrite tries the node's disk, nil if it has none.
func (n *Node) canaryWrite() func() error {
	switch {
	case n.folder.path == "":
		return nil
	case n.config.canaryWrite != nil:
		return n.config.canaryWrite
	default:
		return n.folder.writeCanary
	}
}

// fail ends the node for good: it serves nothing from here on.
func (n *Node) fail(err error) {
	n.failOnce.Do(func() {
		n.gate.shut()
		n.failure = err
		close(n.failed)
	})
}

// Done is closed when the node has failed for good; Err then says why.
func (n *Node) Done() <-chan struct{} { return n.failed }

// Err is why the node failed, nil while it has not.
func (n *Node) Err() error {
	select {
	case <-n.failed:
		return n.failure
	default:
		return nil
	}
}

// closeKeeper closes the slots, if they were opened. What failed before is not told twice.
func (n *Node) closeKeeper() error {
	opened := n.keeper.Load()
	if opened == nil {
		return nil
	}
	if err := opened.close(); err != nil && n.Err() == nil {
		return fmt.Errorf("cannot close slots: %w", err)
	}
	return nil
}

// Close leaves the ring if the node has not left, stops everything Open started and unlocks the
// data folder; the service is told nothing more when it returns. It returns when that is done or ctx ends, whichever comes first.
func (n *Node) Close(ctx context.Context) error {
	n.closeOnce.Do(func() { n.closeErr = n.close(ctx) })
	return n.closeErr
}

func (n *Node) close(ctx context.Context) error {
	left := n.Leave(ctx)
	n.stop()
	stopped := make(chan error, 1)
	go func() {
		n.running.Wait()
		closed := n.closeKeeper()
		n.hangUp()
		n.folder.close()
		stopped <- closed
	}()
	select {
	case closed := <-stopped:
		return errors.Join(left, closed)
	case <-ctx.Done():
		return fmt.Errorf("cannot close node %s in time: %w", n.config.ID, ctx.Err())
	}
}
