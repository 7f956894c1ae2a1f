package inbound

import (
	"context"
	"net"
	"time"

	"github.com/stead-io/stead/api/transport"
)

const (
	handshakesEnd = 10 * time.Millisecond // for callers whose connection is being made
	queueCheck    = time.Millisecond
	// queueEnd is for all that have begun: a process out of file descriptors accepts nobody.
	queueEnd = time.Second
)

// withdraw lets nobody else begin to connect to a listener of transport, and returns when those who have begun
// are accepted, a second has passed, or the context ends. Close the listener then: closed without it, it takes along connections
// that the kernel has made and Accept has not returned, perhaps with a request in them. Who comes too late finds
// the port closed when the kernel tries again for them, after a second. Of a listener that cannot do so it returns
// at once.
func withdraw(ctx context.Context, of net.Listener) {
	socket, ok := transport.TCP(of)
	if !ok || refuseHandshakes(socket) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, queueEnd)
	defer cancel()
	for wait := handshakesEnd; ; wait = queueCheck {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if waiting, err := queued(socket); waiting == 0 || err != nil {
			return
		}
	}
}
