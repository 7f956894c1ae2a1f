package forward

import (
	"net"
	"time"

	"github.com/stead-io/stead/api/tunnel"
	"github.com/stead-io/stead/dataplane/wire"
)

// Upgrade carries a request that asks the node to change to one of the protocols offered, on a connection of its
// own: none that was used before, and never used again. If the node does change, Switched takes the connection over;
// any other answer is an ordinary one. The error is a *Failure.
func (t *Transport) Upgrade(to Target, r *Request, offers []string) (Answer, error) {
	c, err := t.dial(t.pool(to), r)
	if err != nil {
		return nil, &Failure{Stage: NotConnected, Err: err}
	}
	c.offers = offers
	if failure := c.exchange(r); failure != nil {
		return nil, failure
	}
	return c, nil
}

// Switched takes the connection of an answer to Upgrade from the transport, with what came of the new protocol
// already, and the protocol's name. The answer's head stays valid; there is nothing to close.
func Switched(answer Answer) (conn net.Conn, early []byte, protocol string) {
	c := answer.(*connection)
	c.release() // each side may close its own first
	c.home.forget(c)
	_ = c.Conn.SetDeadline(time.Time{})
	return c.Conn, c.buffer[c.start:c.end], c.protocol
}

// switches reports whether a 101 (Switching Protocols) changes to one protocol that was asked for.
func (c *connection) switches() bool {
	if !c.answer.Upgrades() {
		return false
	}
	c.protocol = tunnel.Agreed(c.offers, string(c.answer.UpgradeTo()))
	return c.protocol != ""
}

// AppendUpgrade writes a request's head as AppendRequest does, with the protocols it asks to change to.
func AppendUpgrade(dst []byte, r *wire.Request, address string, stamp Stamp, offers []string) []byte {
	dst = AppendRequest(dst, r, address, stamp, false)
	dst = append(dst[:len(dst)-len("\r\n")], "Connection: Upgrade\r\nUpgrade: "...)
	for i, offer := range offers {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, offer...)
	}
	return append(dst, "\r\n\r\n"...)
}
