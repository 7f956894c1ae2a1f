package inbound

import (
	"io"

	"github.com/stead-io/stead/dataplane/wire"
)

// body is the decoded body of the request under way. It ends where the message does: an end of the connection
// before that is an error.
type body Conn

func (b *body) Read(p []byte) (int, error) {
	c := (*Conn)(b)
	for {
		if c.left == 0 {
			return 0, io.EOF
		}
		if c.fault != nil {
			return 0, c.fault
		}
		n, err := c.readBody(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// Trailers are the lines behind the body that may be passed on, once it was read to its end.
func (b *body) Trailers() []byte {
	return wire.AppendTrailers(nil, b.chunks.Trailers(), &b.head.Head)
}

// readBody reads on in the body; where only framing came, there are no octets of it.
func (c *Conn) readBody(p []byte) (int, error) {
	if c.start == c.end {
		if err := c.askForBody(); err != nil {
			return 0, err
		}
		if c.left > 0 {
			return c.readPlain(p)
		}
		if n, err := c.fill(); n == 0 {
			return 0, c.fail(within(err))
		}
	}
	if c.left > 0 {
		n := copy(p, c.unread()[:min(int64(c.end-c.start), c.left)])
		c.start += n
		c.took(n)
		return n, nil
	}
	return c.readChunk(p)
}

// askForBody prepares for a wait. The first one is what asks the client for the body.
func (c *Conn) askForBody() error {
	if c.waiting {
		c.waiting = false
		if err := c.sendContinue(); err != nil {
			return c.fail(within(err))
		}
	}
	c.readBy.extend(c.Conn.SetReadDeadline, c.server.settings().StreamTimeout)
	if c.interrupted.Load() {
		return c.fail(ErrInterrupted)
	}
	return nil
}

// readPlain reads octets of a body of known length straight to where they are wanted.
func (c *Conn) readPlain(p []byte) (int, error) {
	n, err := c.readPaced(p[:min(int64(len(p)), c.left)])
	if n == 0 && len(p) > 0 {
		return 0, c.fail(within(err))
	}
	c.took(n)
	return n, nil
}

// took counts octets of a body of known length.
func (c *Conn) took(n int) {
	c.left -= int64(n)
	c.received += int64(n)
}

// readChunk decodes what has come, across the bounds of chunks: many small ones cost no more than one.
func (c *Conn) readChunk(p []byte) (n int, err error) {
	for n < len(p) && c.start < c.end && c.left != 0 {
		unread := c.unread()
		taken, piece, err := c.chunks.Next(unread[:min(len(unread), len(p)-n)])
		c.start += taken
		c.received += int64(taken)
		if err != nil {
			return n, c.failBehind(n, err)
		}
		n += copy(p[n:], piece)
		if c.chunks.Done() {
			if err := wire.CheckTrailers(c.chunks.Trailers(), c.server.config.MayTrail); err != nil {
				return n, c.failBehind(n, err)
			}
			c.left = 0
		}
	}
	return n, nil
}

// failBehind notes a fault, of which the reader hears when it has what stands before that.
func (c *Conn) failBehind(n int, err error) error {
	if err = c.fail(err); n > 0 {
		return nil
	}
	return err
}
