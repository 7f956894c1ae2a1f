package nodesvc

import (
	"context"
	"fmt"
	"time"

	"github.com/stead-io/stead/api"
)

// Limits of the calls of a leaving node: it stops in time without the control plane too.
const (
	drainTimeout    = 3 * time.Second
	farewellTimeout = time.Second
	// linger is how long a node that handed its slots over goes on answering late requests: proxies hear of the
	// ring within a tenth of a second. A request that meets a closing connection cannot be sent again if it
	// asks for a change.
	linger = 300 * time.Millisecond
)

// Leave takes the node out of service in good order, within ctx. A node whose slots wait for it
// stops taking requests, finishes those inside and says that it is leaving; a reset node first hands
// its slots back and at last removes itself, unless it is in maintenance; one with replicas first has those
// in sync take its slots over, and sends late requests there to the end. The service goes on serving
// until Leave returns. A second call returns what the first did.
func (n *Node) Leave(ctx context.Context) error {
	n.leaveOnce.Do(func() { n.leaveErr = n.leave(ctx) })
	return n.leaveErr
}

func (n *Node) leave(ctx context.Context) error {
	member := n.registered.Load() != nil && n.Err() == nil
	if opened := n.keeper.Load(); opened != nil && opened.state != api.StateNone {
		if member {
			n.yield(ctx, opened.engine)
		}
		return n.part(ctx, member)
	}
	emptied := member && n.config.OnDown == api.OnDownReset && n.handBack(ctx)
	finished := n.finish(ctx)
	n.withdraw(ctx)
	if member {
		n.farewell(ctx, emptied)
	}
	return finished
}

// part says that the node leaves before it stops serving: whoever hears it sends nothing more here, while
// what is on its way still finds the slots that nobody could take.
func (n *Node) part(ctx context.Context, member bool) error {
	n.withdraw(ctx)
	if member {
		n.farewell(ctx, false)
		n.lingerOn(ctx)
	}
	return n.finish(ctx)
}

func (n *Node) lingerOn(ctx context.Context) {
	select {
	case <-time.After(linger):
	case <-ctx.Done():
	case <-n.failed:
	}
}

// yield hands over all slots that a replica in sync can take.
func (n *Node) yield(ctx context.Context, slots engine) {
	ctx, cancel := share(ctx, 2, n.config.DrainWait)
	defer cancel()
	if err := slots.Yield(ctx); err != nil {
		n.logger.Warn("slots could not all be handed over, leaving with the rest", "error", err)
	}
}

// handBack drains the node and reports whether the ring gave it no slot any more.
func (n *Node) handBack(ctx context.Context) bool {
	ctx, cancel := share(ctx, 2, n.config.DrainWait)
	defer cancel()
	asking, answered := context.WithTimeout(ctx, drainTimeout)
	defer answered()
	if known, err := n.control.Node(asking, n.config.ID); err == nil && known.Maintenance != nil {
		n.logger.Info("in maintenance, leaving with slots", "until", *known.Maintenance)
		return false
	}
	if _, err := n.control.Drain(asking, n.config.ID); err != nil {
		n.logger.Warn("drain failed, leaving with slots", "error", err)
		return false
	}
	held := n.ring.until(ctx, func(s *standing) bool { return s.holds() == 0 }).holds()
	if held > 0 {
		n.logger.Warn("drain did not end in time, leaving with slots", "slots", held)
	}
	return held == 0
}

// finish shuts the gate and waits for the requests inside; what was to last longer ends now.
func (n *Node) finish(ctx context.Context) error {
	close(n.ending)
	bounded, cancel := share(ctx, 1.25, 0)
	defer cancel()
	select {
	case <-n.gate.shut():
		return nil
	case <-bounded.Done():
		return fmt.Errorf("cannot finish the requests inside in time: %w", bounded.Err())
	}
}

// withdraw ends the membership loop. A beat under way is let finish, so that none can arrive behind
// the last word.
func (n *Node) withdraw(ctx context.Context) {
	close(n.leaving)
	ctx, cancel := context.WithTimeout(ctx, farewellTimeout)
	defer cancel()
	select {
	case <-n.resigned:
	case <-ctx.Done():
		n.resign()
	}
}

// farewell removes a node without slots from the ring, and calls any other down at once.
func (n *Node) farewell(ctx context.Context, emptied bool) {
	if emptied {
		bounded, cancel := context.WithTimeout(ctx, farewellTimeout)
		_, err := n.control.Remove(bounded, n.config.ID, false)
		cancel()
		if err == nil {
			n.logger.Info("left the ring")
			return
		}
		n.logger.Warn("node could not remove itself", "error", err)
	}
	bounded, cancel := context.WithTimeout(ctx, farewellTimeout)
	defer cancel()
	if _, err := n.control.Beat(bounded, n.config.ID, api.Beat{Session: n.registered.Load().Session, Leaving: true}); err != nil {
		n.logger.Warn("leave could not be announced", "error", err)
		return
	}
	n.logger.Info("leave announced")
}

// share is a context with one part in so many of the time ctx has left, at most limit unless 0.
func share(ctx context.Context, parts float64, limit time.Duration) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if bounded {
		part := time.Duration(float64(time.Until(deadline)) / parts)
		if limit == 0 || part < limit {
			limit = part
		}
	}
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
