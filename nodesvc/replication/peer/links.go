package peer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
)

// Defaults and limits of connections.
const (
	DialTimeoutDefault  = 2 * time.Second
	HeartbeatDefault    = 250 * time.Millisecond
	SilenceMaxDefault   = 1500 * time.Millisecond
	WriteTimeoutDefault = 3 * time.Second
	QueueMaxDefault     = 64 << 20 // bytes

	greetingsMax = 64   // connections that other nodes opened and that are not greeted yet
	linksMax     = 4096 // nodes connected
)

// Config says how to connect.
type Config struct {
	Self    Hello
	Handler Handler
	Dial    Dial
	Logger  *slog.Logger // nil: nobody hears

	DialTimeout  time.Duration // for connecting, and again for greeting
	Heartbeat    time.Duration // an idle link sends a frame so often
	SilenceMax   time.Duration // a link that brings nothing for so long is cut
	WriteTimeout time.Duration // a link that takes nothing for so long is cut
	QueueMax     int           // bytes of urgent frames; a link for which more are queued is cut
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, setting := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&c.DialTimeout, DialTimeoutDefault}, {&c.Heartbeat, HeartbeatDefault},
		{&c.SilenceMax, SilenceMaxDefault}, {&c.WriteTimeout, WriteTimeoutDefault},
	} {
		if *setting.value == 0 {
			*setting.value = setting.unset
		}
	}
	if c.QueueMax == 0 {
		c.QueueMax = QueueMaxDefault
	}
	return c
}

// Links are a node's connections with the others: a Network. Of each pair the node with the lower id dials.
type Links struct {
	config  Config
	ctx     context.Context
	end     context.CancelCauseFunc
	running sync.WaitGroup

	mu        sync.RWMutex
	others    map[api.NodeID]*other
	told      bool // Follow was called: who is not listed is turned away
	closed    bool
	greetings int
	// bytes received from and sent to nodes that were forgotten
	goneIn, goneOut uint64
}

// other is what is known of another node. But for present and counters it is guarded by Links.mu.
type other struct {
	listed   bool
	dialer   *dialer // nil: the other one dials, or it is not listed
	newest   *link   // the last one greeted, until it has ended
	present  atomic.Pointer[link]
	counters counters
}

// Open starts with no connections: Follow and Accept bring them.
func Open(config Config) *Links {
	ctx, end := context.WithCancelCause(context.Background())
	return &Links{config: config.withDefaults(), ctx: ctx, end: end, others: map[api.NodeID]*other{}}
}

// Follow says which nodes there are. It dials those that are up and have a higher id, and cuts connections to
// others. Before the first call whoever greets well is let in.
func (l *Links) Follow(nodes []api.SlotNode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.told = true
	listed := make(map[api.NodeID]bool, len(nodes))
	for _, node := range nodes {
		if node.ID != l.config.Self.Node {
			listed[node.ID] = true
			l.follow(node)
		}
	}
	for id, other := range l.others {
		if !listed[id] {
			l.unfollow(id, other)
		}
	}
}

func (l *Links) follow(node api.SlotNode) {
	other := l.other(node.ID)
	other.listed = true
	if node.ID < l.config.Self.Node {
		return
	}
	if other.dialer == nil {
		other.dialer = newDialer(l, node.ID)
		l.running.Go(other.dialer.run)
	}
	other.dialer.aim(node.Address, node.Status != api.NodeDown && !node.Left)
}

func (l *Links) unfollow(id api.NodeID, other *other) {
	other.listed = false
	if other.dialer != nil {
		other.dialer.end(errUnlisted)
		other.dialer = nil
	}
	if other.newest != nil {
		other.newest.cut(errUnlisted)
	}
	l.forget(id, other)
}

// other is the entry of a node, made if there is none.
func (l *Links) other(id api.NodeID) *other {
	known := l.others[id]
	if known == nil {
		known = &other{}
		l.others[id] = known
	}
	return known
}

// forget drops the entry of a node that is neither listed nor connected.
func (l *Links) forget(id api.NodeID, other *other) {
	if !other.listed && other.newest == nil {
		l.goneIn += other.counters.bytesIn.Load()
		l.goneOut += other.counters.bytesOut.Load()
		delete(l.others, id)
	}
}

// Send queues an urgent frame; see Network.
func (l *Links) Send(to api.NodeID, kind uint8, body []byte) error {
	if len(body) > FrameMax {
		return fmt.Errorf("cannot send %d octets in one frame: at most %d", len(body), FrameMax)
	}
	link := l.present(to)
	if link == nil {
		return ErrNoLink
	}
	full, err := link.queue.push(frame{kind: kind, lane: laneUrgent, body: body}, l.config.QueueMax)
	if full {
		link.cut(errOverflow)
	}
	return err
}

// SendBulk sends a frame behind the urgent ones; see Network.
func (l *Links) SendBulk(ctx context.Context, to api.NodeID, kind uint8, body []byte) error {
	if len(body) > BulkMax {
		return fmt.Errorf("cannot send %d octets in one bulk frame: at most %d", len(body), BulkMax)
	}
	link := l.present(to)
	if link == nil {
		return ErrNoLink
	}
	bulk := &bulkFrame{frame: frame{kind: kind, lane: laneBulk, body: body}, done: make(chan error, 1)}
	if err := link.queue.pushBulk(bulk); err != nil {
		return err
	}
	select {
	case err := <-bulk.done:
		return err
	case <-ctx.Done():
		if link.queue.withdraw(bulk) {
			return ctx.Err()
		}
		return <-bulk.done // the body is the caller's again only when it is written
	}
}

// Peer is the node's greeting on the present connection.
func (l *Links) Peer(node api.NodeID) (Hello, bool) {
	link := l.present(node)
	if link == nil {
		return Hello{}, false
	}
	return link.other, true
}

func (l *Links) present(node api.NodeID) *link {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if other := l.others[node]; other != nil {
		return other.present.Load()
	}
	return nil
}

// Close ends all connections and waits until the handler has heard so: the handler must not call it.
func (l *Links) Close() error {
	l.mu.Lock()
	l.closed = true
	l.end(errClosed)
	for _, other := range l.others {
		if other.newest != nil {
			other.newest.cut(errClosed)
		}
	}
	l.mu.Unlock()
	l.running.Wait()
	return nil
}

// Accept takes over a connection that another node opened, whose first octets are its greeting. caller is the
// node that its certificate names; empty: there is no TLS. It does not block.
func (l *Links) Accept(conn net.Conn, caller api.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.greetings == greetingsMax {
		abort(conn)
		return
	}
	l.greetings++
	l.running.Go(func() { l.take(conn, caller) })
}
