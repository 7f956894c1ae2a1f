package inbound

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/stead-io/stead/dataplane/socket"
)

// Bounds on what is still read of a request that has its answer.
const (
	drainMax   = 256 << 10 // of a body, so that the connection can go on
	lingerMax  = 1 << 20   // of a connection that ends, so that a reset does not overtake the answer
	lingerTime = 500 * time.Millisecond
)

// Send writes octets of an answer to the client. One that does not take them in time is reset: they would
// stay with the kernel for as long as it likes.
func (c *Conn) Send(p []byte) error {
	c.sending.Lock()
	c.answered.Store(true)
	err := c.write(p)
	c.sending.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Abort()
	}
	return err
}

// Plain reports a connection over plain TCP, which SendFrom can send to.
func (c *Conn) Plain() bool { return c.plain != nil }

// pouredMax is how many octets from a pipe are to be taken in time, as those of one Send are.
const pouredMax = 64 << 10

// SendFrom is Send for the octets that a pipe holds.
func (c *Conn) SendFrom(pipe *socket.Pipe) error {
	c.sending.Lock()
	c.answered.Store(true)
	var err error
	for pipe.Held() > 0 && err == nil {
		c.extendWriting()
		err = pipe.Drain(c.plain, pouredMax)
	}
	c.sending.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Abort()
	}
	return err
}

// SendInterim writes an interim answer, which another one follows.
func (c *Conn) SendInterim(p []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.write(p)
}

// sendContinue asks for the body, unless the client has been answered meanwhile: within an answer it would be
// taken for octets of it.
func (c *Conn) sendContinue() error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.answered.Load() {
		return nil
	}
	return c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

func (c *Conn) extendWriting() {
	c.writeBy.extend(c.Conn.SetWriteDeadline, c.server.settings().StreamTimeout)
}

func (c *Conn) write(p []byte) error {
	c.extendWriting()
	if c.plain != nil {
		return c.plain.Send(p)
	}
	_, err := c.Conn.Write(p)
	return err
}

// Take hands the connection over to another protocol, with the octets of it that came already. From here on it is
// the taker's to read and write; the server closes it when the request's handler returns.
func (c *Conn) Take() (socket net.Conn, early []byte) {
	c.closing = true
	early = bytes.Clone(c.unread())
	c.start = c.end
	_ = c.Conn.SetDeadline(time.Time{})
	return c.Conn, early
}

// Persists reports whether the connection carries on behind this answer; if not, the answer should
// say so. Whatever is left of the body must be known to be short.
func (c *Conn) Persists() bool {
	if c.server.draining.Load() {
		c.closing = true
	}
	return c.persists()
}

// persists holds to what the answer said: a client that was not told to leave may have sent its next request.
func (c *Conn) persists() bool {
	if c.closing || c.fault != nil || !c.head.Persists() || c.waiting {
		return false
	}
	return 0 <= c.left && c.left <= drainMax
}

// CloseAfter makes this the last answer of the connection.
func (c *Conn) CloseAfter() { c.closing = true }

// Abort makes the answer visibly incomplete to a client that waits for the connection to end.
func (c *Conn) Abort() {
	c.closing = true
	socket := c.socket()
	if tcp, ok := socket.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = socket.Close()
}

// socket is what the connection goes over: itself, unless that is TLS, whose goodbye may take its time, or begins
// with a PROXY header.
func (c *Conn) socket() net.Conn {
	socket := c.Conn
	for {
		around, ok := socket.(interface{ NetConn() net.Conn })
		if !ok {
			return socket
		}
		socket = around.NetConn()
	}
}

// InterruptRead wakes up whoever reads the body; nothing more will be read.
func (c *Conn) InterruptRead() {
	c.closing = true
	c.interrupted.Store(true)
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// finish ends a message behind its answer; false if the connection is to be closed.
func (c *Conn) finish() bool {
	if !c.persists() || !c.drained() {
		if c.left != 0 || c.fault != nil || c.start < c.end {
			c.linger()
		}
		return false
	}
	c.within = false
	c.release()
	c.active.Store(false)
	return true
}

// drained reads what is left of the body.
func (c *Conn) drained() bool {
	if c.left != 0 {
		if _, err := io.Copy(io.Discard, (*body)(c)); err != nil {
			return false
		}
	}
	return c.left == 0
}

// close ends the connection for good.
func (c *Conn) close() {
	_ = c.Conn.Close()
	c.start, c.end = 0, 0
	c.release()
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
