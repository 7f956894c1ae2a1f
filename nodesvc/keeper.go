package nodesvc

import (
	"context"
	"errors"
	"fmt"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
	"github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// keeper keeps the slots of a node with a Service. It is opened as soon as the cluster is known, from the data
// folder or from the first ring, because slots are laid out for it.
type keeper struct {
	state  api.State // how slots move here
	engine engine
	log    slotlog.Store
	links  *peer.Links // nil in state none: there are no other replicas
}

// keepSlots opens the keeper, tells its engine of slots, and ends the node when it can no longer be trusted.
func (n *Node) keepSlots(ctx context.Context) {
	at, known := n.home(ctx)
	if !known {
		return
	}
	opened, err := n.openKeeper(at)
	if err != nil {
		n.fail(err)
		return
	}
	n.keeper.Store(opened)
	close(n.keeping)
	n.logger.Info("slots opened", "state", opened.state, "held", len(opened.engine.Held()))
	if opened.state == api.StateNone {
		n.running.Go(func() { n.learnRings(ctx, opened.engine) })
	} else {
		n.running.Go(func() { _ = n.control.WatchSlots(ctx, n.learn) })
	}
	select {
	case <-opened.engine.Failed():
		n.fail(fmt.Errorf("cannot keep slots: %w", opened.engine.Err()))
	case <-opened.log.Failed():
		n.fail(fmt.Errorf("cannot keep slots: %w", opened.log.Err()))
	case <-ctx.Done():
	}
}

// home waits until it is known which cluster's slots the node keeps.
func (n *Node) home(ctx context.Context) (at home, known bool) {
	if at, known = n.folder.home(); known && at.State != "" {
		return at, true
	}
	select {
	case <-n.live:
		return n.folder.home()
	case <-n.failed:
	case <-ctx.Done():
	}
	return home{}, false
}

func (n *Node) openKeeper(at home) (*keeper, error) {
	k := &keeper{state: n.config.stateIn(at.State)}
	if err := n.openParts(k, at); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open slots: %w", err), k.close())
	}
	return k, nil
}

// openParts opens the log, then the links, then the engine above both.
func (n *Node) openParts(k *keeper, at home) (err error) {
	config := n.replication(at)
	config.Frozen = k.state == api.StateHooks
	if k.log, err = n.openLog(); err != nil {
		return err
	}
	config.Log, config.Reserve = k.log, reserve(n.config.DiskReserve, k.log)
	hears := &listener{}
	if k.state != api.StateNone {
		k.links = n.openLinks(at, k.state, hears)
		config.Network, config.Control = k.links, proposer{n}
	}
	if k.engine, err = n.config.openEngine(config); err != nil {
		return err
	}
	hears.Handler = k.engine
	return nil
}

// replication is the engine's configuration, but for what it stands on.
func (n *Node) replication(at home) replication.Config {
	return replication.Config{
		Self:         api.Replica{Node: n.config.ID, Store: n.registration.StoreID},
		Bits:         at.SlotBits,
		Service:      n.config.Service,
		Logger:       n.logger,
		Volatile:     n.folder.path == "",
		LogBytes:     n.config.LogBytes,
		AckTimeout:   n.config.AckTimeout,
		DrainTimeout: n.config.DrainTimeout,
		CopyOut:      n.config.CopyOut,
		CopyIn:       n.config.CopyIn,
		CopySlots:    n.config.CopySlots,
	}
}

// openLog opens the log on the node's disk, or in memory.
func (n *Node) openLog() (slotlog.Store, error) {
	if n.folder.path == "" {
		return slotlog.NewMemory(), nil
	}
	return slotlog.OpenDisk(n.folder.file(logName), slotlog.DiskOptions{Logger: n.logger})
}

// The disk space kept free unless a configuration says otherwise.
const (
	reserveMin  = 1 << 30 // bytes
	reservePart = 20      // of the disk: one in so many
)

// reserve is how many bytes of the log's disk stay free. Memory has no end that the log knows of.
func reserve(configured uint64, log slotlog.Store) uint64 {
	_, all, err := log.Free()
	switch {
	case configured != 0:
		return configured
	case err != nil || all == 0:
		return 0
	default:
		return max(reserveMin, all/reservePart)
	}
}

// close ends what stands, what uses others before them.
func (k *keeper) close() error {
	var failures []error
	if k.engine != nil {
		failures = append(failures, k.engine.Close())
	}
	if k.links != nil {
		failures = append(failures, k.links.Close())
	}
	if k.log != nil {
		failures = append(failures, k.log.Close())
	}
	return errors.Join(failures...)
}

// unopened is what requests get before the keeper is open.
func (n *Node) unopened() *api.Problem {
	if n.config.Service == nil {
		return api.NewProblem(api.CodeInternal, "the node was opened without a Service")
	}
	return api.NewProblem(api.CodeNoRing, "the node is opening its slots")
}

// proposer proposes for the engine, in the node's present session.
type proposer struct{ node *Node }

var errNoSession = errors.New("cannot propose: the node is not registered")

// Propose implements replication.Control. A session that is no longer known makes the node register again.
func (p proposer) Propose(ctx context.Context, proposals []api.SlotProposal) (api.SlotVerdicts, error) {
	n := p.node
	registered := n.registered.Load()
	if registered == nil {
		return api.SlotVerdicts{}, errNoSession
	}
	verdicts, err := n.control.ProposeSlots(ctx, api.SlotProposals{
		Node: n.config.ID, Session: registered.Session, Generation: registered.Cursor.Generation,
		SlotBits: n.View().Settings.SlotBits, Proposals: proposals,
	})
	if lostMembership(err) {
		n.rouse()
	}
	return verdicts, err
}
