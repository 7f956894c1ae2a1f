package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/stead-io/stead/api"
)

func (l *Links) greeter() greeter {
	return greeter{self: l.config.Self, timeout: l.config.DialTimeout, silence: l.config.SilenceMax}
}

// take greets who opened a connection and carries its frames.
func (l *Links) take(conn net.Conn, caller api.NodeID) {
	defer abortWith(l.ctx, conn)()
	link, err := l.greeter().answer(conn, caller, l.admits)
	l.mu.Lock()
	l.greetings--
	l.mu.Unlock()
	if err == nil {
		err = l.serve(l.ctx, link)
	}
	if err != nil && l.ctx.Err() == nil {
		l.config.Logger.Warn("a connection of another node was refused", "from", conn.RemoteAddr().String(), "error", err)
	}
}

// call dials a node and carries the frames; an error says that it never was linked.
func (l *Links) call(ctx context.Context, node api.NodeID, address string) error {
	conn, err := l.dial(ctx, node, address)
	if err != nil {
		return fmt.Errorf("cannot dial %s: %w", address, err)
	}
	defer abortWith(ctx, conn)()
	link, err := l.greeter().call(conn, node)
	if err != nil {
		return fmt.Errorf("cannot greet %s: %w", address, err)
	}
	return l.serve(ctx, link)
}

func (l *Links) dial(ctx context.Context, node api.NodeID, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.DialTimeout)
	defer cancel()
	return l.config.Dial(ctx, node, address)
}

// abortWith ends the connection when ctx does, or the function it returns is called.
func abortWith(ctx context.Context, conn net.Conn) func() {
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(aborted)
		abort(conn)
	})
	return func() {
		if !stop() {
			<-aborted
		}
		abort(conn)
	}
}

// admits reports whether a node may connect.
func (l *Links) admits(hello Hello) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.admitsLocked(hello)
}

func (l *Links) admitsLocked(hello Hello) error {
	known := l.others[hello.Node]
	switch {
	case l.closed:
		return errClosed
	case l.told && (known == nil || !known.listed):
		return fmt.Errorf("%w: node %q is not listed here", errRefused, hello.Node)
	case known == nil && len(l.others) >= linksMax:
		return errors.New("there are too many connections")
	}
	return nil
}

// serve carries the frames of a greeted link until it ends, once the node's previous one has ended.
func (l *Links) serve(ctx context.Context, link *link) error {
	tune(link.conn)
	other, err := l.enter(ctx, link)
	if err != nil {
		return err
	}
	defer l.leave(link, other)
	if link.queue.isClosed() {
		return nil // replaced while it waited
	}
	logger := l.config.Logger.With("node", string(link.other.Node))
	logger.Info("linked with another node", "store", string(link.other.Store))
	other.present.Store(link)
	link.run(l.config.Handler, l.config)
	other.present.Store(nil)
	l.config.Handler.Lost(link.other)
	logger.Info("the link with another node ended", "cause", cmp.Or(context.Cause(ctx), link.cause), "after", time.Since(link.since))
	return nil
}

// enter makes the link its node's newest, and waits for the end of the one before.
func (l *Links) enter(ctx context.Context, link *link) (*other, error) {
	l.mu.Lock()
	if err := l.admitsLocked(link.other); err != nil {
		l.mu.Unlock()
		return nil, err
	}
	if ctx.Err() != nil {
		l.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	other := l.other(link.other.Node)
	before := other.newest
	other.newest = link
	link.count(&other.counters)
	l.mu.Unlock()
	if before != nil {
		before.cut(errReplaced)
		<-before.ended
	}
	return other, nil
}

func (l *Links) leave(link *link, other *other) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other.newest == link {
		other.newest = nil
		l.forget(link.other.Node, other)
	}
	close(link.ended)
}
