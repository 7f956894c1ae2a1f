package transport

import (
	"context"
	"net"
	"time"
)

const (
	handshakesEnd = 10 * time.Millisecond // for callers whose connection is being made
	queueCheck    = time.Millisecond
)

// Withdraw lets nobody else begin to connect to a listener of ListenFor, and returns when those who have begun
// are accepted, or the context ends. Close the listener then: closed without it, it takes along connections
// that the kernel has made and Accept has not returned, perhaps with a request in them. Who comes too late finds
// the port closed when the kernel tries again for them, after a second. Of a listener that cannot do so it returns
// at once.
func Withdraw(ctx context.Context, of net.Listener) {
	door, ok := of.(*listener)
	if !ok || refuseHandshakes(door.tcp) != nil {
		return
	}
	for wait := handshakesEnd; ; wait = queueCheck {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if waiting, err := queued(door.tcp); waiting == 0 || err != nil {
			return
		}
	}
}

// listener accepts connections, in TLS or not, and knows the socket beneath.
type listener struct {
	net.Listener
	tcp *net.TCPListener
}
