package inbound

import (
	"io"
	"net"
	"time"
)

// Bounds on what is still read of a request that has its answer.
const (
	drainMax   = 256 << 10 // of a body, so that the connection can go on
	lingerMax  = 1 << 20   // of a connection that ends, so that a reset does not overtake the answer
	lingerTime = 500 * time.Millisecond
)

// Send writes octets of an answer to the client.
func (c *Conn) Send(p []byte) error {
	c.writeBy.extend(c.Conn.SetWriteDeadline, c.server.config.StreamTimeout)
	_, err := c.Conn.Write(p)
	return err
}

// Persists reports whether the connection carries on behind this answer; if not, the answer should
// say so. Whatever is left of the body must be known to be short.
func (c *Conn) Persists() bool {
	if c.closing || c.fault != nil || !c.head.Persists() || c.server.draining.Load() || c.waiting {
		return false
	}
	return 0 <= c.left && c.left <= drainMax
}

// CloseAfter makes this the last answer of the connection.
func (c *Conn) CloseAfter() { c.closing = true }

// Abort makes the answer visibly incomplete to a client that waits for the connection to end.
func (c *Conn) Abort() {
	c.closing = true
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Conn.Close()
}

// InterruptRead wakes up whoever reads the body; nothing more will be read.
func (c *Conn) InterruptRead() {
	c.closing = true
	c.interrupted.Store(true)
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// finish ends a message behind its answer; false if the connection is to be closed.
func (c *Conn) finish() bool {
	if !c.Persists() || !c.drained() {
		if c.left != 0 || c.fault != nil {
			c.linger()
		}
		return false
	}
	c.within, c.body = false, nil
	c.active.Store(false)
	return true
}

// drained reads what is left of the body.
func (c *Conn) drained() bool {
	if c.body != nil {
		if _, err := io.Copy(io.Discard, (*body)(c)); err != nil {
			return false
		}
	}
	return c.left == 0
}

// linger half-closes the connection and reads on for a while.
func (c *Conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.Conn, lingerMax)
}
