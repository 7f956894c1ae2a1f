package inbound

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"

	"github.com/stead-io/stead/dataplane/wire"
)

// Faults of a client, besides the wire.SyntaxErrors.
var (
	// ErrHeadTooLarge: request line and header fields exceed the limit.
	ErrHeadTooLarge = errors.New("the head of the request is longer than the limit")
	// ErrBodyTooLarge: the head announces a longer body than the limit.
	ErrBodyTooLarge = errors.New("the body announced is longer than the limit")
	// ErrTruncated: the client closed its side within a message.
	ErrTruncated = errors.New("the client closed the connection within a request")
	// ErrInterrupted: the rest of the message is not wanted any more.
	ErrInterrupted = errors.New("the rest of the request is not wanted")
	// ErrSlow: the client was silent for too long within a message.
	ErrSlow = errors.New("the client was silent for too long within a request")
)

// leadingLinesMax is how many empty lines may stand before a request line (RFC 9112, section 2.2).
const leadingLinesMax = 1

// Conn is a client's connection. fasthttp reads requests through it, one message at a time. Its
// methods are for the goroutine that serves the connection; while that one waits, a body may be
// read by another.
type Conn struct {
	net.Conn
	server *Server

	head  wire.Request
	raw   []byte    // the octets that head is made of
	body  io.Reader // what fasthttp decodes of the message's body
	ahead []byte    // octets read beyond the message
	fault error     // why nothing more is read

	left    int64 // octets of the body still to come, or wire.Chunked
	chunks  wire.Chunks
	within  bool // a message is being read or answered
	waiting bool // the client waits for 100 (Continue)
	closing bool // nothing follows this answer
	read    bool // fasthttp has begun to read

	readBy, writeBy deadline
	active          atomic.Bool // a request is under way
	interrupted     atomic.Bool // its body is not wanted any more
}

// Head is the head of the request, valid until it is answered.
func (c *Conn) Head() *wire.Request { return &c.head }

// Body reads the body of the request, decoded; nil if it has none.
func (c *Conn) Body() io.Reader {
	if c.head.Length == 0 {
		return nil
	}
	return (*body)(c)
}

// body is the decoded body of the request under way. fasthttp takes some ends of the connection for
// the end of the body; this one ends where the message does.
type body Conn

func (b *body) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err == io.EOF && b.left != 0 {
		err = ErrTruncated
		if b.fault != nil {
			err = b.fault
		}
	}
	return n, err
}

// Fault is why the client's octets are refused, nil if they are not.
func (c *Conn) Fault() error { return c.fault }

// Read hands fasthttp the next octets, none beyond the end of the message that is under way.
func (c *Conn) Read(p []byte) (int, error) {
	c.read = true
	if c.fault != nil {
		return 0, c.fault
	}
	if !c.within {
		return c.readHead(p)
	}
	return c.readBody(p)
}

// readHead reads a whole head into p, and what of its body came along.
func (c *Conn) readHead(p []byte) (int, error) {
	n, lines := c.fromAhead(p), 0
	for {
		for lines < leadingLinesMax && n >= 2 && p[0] == '\r' && p[1] == '\n' {
			n = copy(p, p[2:n])
			lines++
		}
		if length := wire.HeadLength(p[:n]); length > 0 {
			return c.takeHead(p[:n], length)
		}
		if n == len(p) {
			return 0, c.fail(ErrHeadTooLarge)
		}
		more, err := c.fillHead(p[n:], n > 0)
		n += more
		if err != nil && more == 0 {
			return 0, err
		}
	}
}

// fillHead waits for octets of a head: long for the first, and then a fixed time for all.
func (c *Conn) fillHead(p []byte, begun bool) (int, error) {
	if !begun {
		c.readBy.extend(c.Conn.SetReadDeadline, c.server.config.IdleTimeout)
	} else if c.active.CompareAndSwap(false, true) {
		c.readBy.set(c.Conn.SetReadDeadline, c.server.config.HeadTimeout)
	}
	n, err := c.Conn.Read(p)
	if n > 0 || !begun {
		return n, err
	}
	return 0, c.fail(within(err))
}

func (c *Conn) takeHead(p []byte, length int) (int, error) {
	c.active.Store(true)
	c.within, c.chunks = true, wire.Chunks{}
	c.raw = append(c.raw[:0], p[:length]...)
	if err := c.head.Parse(c.raw); err != nil {
		return 0, c.fail(err)
	}
	if c.head.Length > c.server.config.BodyMax {
		return 0, c.fail(ErrBodyTooLarge)
	}
	c.left = c.head.Length
	c.waiting = c.head.Continue
	n, err := c.takeBody(p[length:])
	return length + n, err
}

// readBody reads on in the body. The first read that has to wait is what asks the client for it.
func (c *Conn) readBody(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF // nobody reads here: the message is complete
	}
	n := c.fromAhead(p)
	if n == 0 {
		if c.waiting {
			c.waiting = false
			if err := c.Send([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
				return 0, c.fail(err)
			}
		}
		if c.left > 0 {
			p = p[:min(int64(len(p)), c.left)]
		}
		c.readBy.extend(c.Conn.SetReadDeadline, c.server.config.StreamTimeout)
		if c.interrupted.Load() {
			return 0, c.fail(ErrInterrupted)
		}
		var err error
		if n, err = c.Conn.Read(p); n == 0 {
			return 0, c.fail(within(err))
		}
	}
	return c.takeBody(p[:n])
}

// takeBody follows the framing through p; what lies beyond the message is put aside.
func (c *Conn) takeBody(p []byte) (n int, err error) {
	if c.left != wire.Chunked {
		n = int(min(int64(len(p)), c.left))
		c.left -= int64(n)
	} else {
		for n < len(p) && !c.chunks.Done() {
			taken, _, err := c.chunks.Next(p[n:])
			n += taken
			if err != nil {
				return n, c.fail(err)
			}
		}
		if c.chunks.Done() {
			c.left = 0
		}
	}
	if n < len(p) {
		c.putBack(p[n:])
	}
	if n > 0 {
		c.waiting = false
	}
	return n, nil
}

func (c *Conn) fromAhead(p []byte) int {
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n
}

// putBack has octets read next, before those that are there already.
func (c *Conn) putBack(p []byte) {
	if len(c.ahead) == 0 {
		c.ahead = append(c.ahead, p...)
		return
	}
	c.ahead = slices.Concat(p, c.ahead)
}

func (c *Conn) fail(err error) error {
	c.fault = err
	return err
}

// within names what ended a read in the middle of a message.
func within(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return ErrTruncated
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSlow
	default:
		return err
	}
}

// Write drops what fasthttp has to say: the answers are written by Send. Before it has begun to
// read, its words are the refusal of a connection over the limit, and pass.
func (c *Conn) Write(p []byte) (int, error) {
	if c.read {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.server.forget(c)
	return c.Conn.Close()
}
