package nodesvc

import (
	"context"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// keptViewAfter is how long a started node hopes for a ring from the control plane before it acts
// on the one it kept on disk.
const keptViewAfter = time.Second

// follow takes a ring the control plane sent.
func (n *Node) follow(view *ring.View) {
	if n.Err() != nil {
		return
	}
	if err := n.folder.settle(view); err != nil {
		n.fail(err)
		return
	}
	last := n.View()
	n.ring.advance(view)
	if last != nil && last.Table.Version.Generation < view.Table.Version.Generation {
		n.rouse()
	}
	select {
	case <-n.live:
	default:
		close(n.live)
	}
}

// rouse has the membership loop look at once how it stands with the control plane.
func (n *Node) rouse() {
	select {
	case n.reborn <- struct{}{}:
	default: // it is being told already
	}
}

// keepsViews: slots of a reset node may be elsewhere by now, so it waits for the control plane.
func (n *Node) keepsViews() bool {
	return n.config.DataDir != "" && n.config.OnDown == api.OnDownWait
}

// keptView is the ring of the last run, nil without one.
func (n *Node) keptView() *ring.View {
	view, err := n.folder.keptView()
	if err != nil {
		n.logger.Warn("kept ring is not readable", "error", err)
	}
	return view
}

// adopt starts the node from the ring on its disk if the control plane is away.
func (n *Node) adopt(ctx context.Context, kept *ring.View) {
	if kept == nil {
		return
	}
	grace := time.NewTimer(keptViewAfter)
	defer grace.Stop()
	select {
	case <-grace.C:
		if n.ring.advance(kept) {
			n.logger.Warn("control plane is away, serving by the kept ring", "version", kept.Table.Version)
		}
	case <-n.live:
	case <-ctx.Done():
	}
}

// keepEvery is how often the ring is written to disk at most: while slots move there are many versions a second.
const keepEvery = time.Second

// keepViews writes the ring the node acts on to its disk. It does so beside the watcher: a slow
// disk must not keep the node from hearing that it lost a slot. One of a new generation stays off the
// disk until the old one was reported: a crash must not lose what only this store knows.
func (n *Node) keepViews(ctx context.Context) {
	var saved api.Version
	for {
		now := n.ring.until(ctx, func(s *standing) bool { return s.view != nil && s.former == nil && s.view.Table.Version != saved })
		if ctx.Err() != nil {
			return
		}
		if err := n.folder.keepView(now.view); err != nil {
			n.logger.Warn("ring could not be kept", "error", err)
		}
		saved = now.view.Table.Version
		select {
		case <-time.After(keepEvery):
		case <-ctx.Done():
			return
		}
	}
}
