package inbound

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/stead-io/stead/dataplane/socket"
	"github.com/stead-io/stead/dataplane/wire"
)

// Faults of a client, besides the wire.SyntaxErrors.
var (
	// ErrHeadTooLarge: request line and header fields exceed the limit.
	ErrHeadTooLarge = errors.New("the head of the request is longer than the limit")
	// ErrBodyTooLarge: the head announces a longer body than the limit.
	ErrBodyTooLarge = errors.New("the body announced is longer than the limit")
	// ErrTruncated: the client closed its side within a message, or its connection broke there.
	ErrTruncated = errors.New("the client closed the connection within a request")
	// ErrInterrupted: the rest of the message is not wanted any more.
	ErrInterrupted = errors.New("the rest of the request is not wanted")
	// ErrSlow: the client was silent, or slower than the least rate, for too long within a message.
	ErrSlow = errors.New("the client took too long to send its request")
	// ErrTooMany: the client's address has as many connections as one may have.
	ErrTooMany = errors.New("too many connections from one address")
	// ErrCrowded: there are as many clients, or requests on connections that carry several, as may be.
	ErrCrowded = errors.New("this proxy has too many clients")
)

// leadingLinesMax is how many empty lines may stand before a request line (RFC 9112, section 2.2).
const leadingLinesMax = 1

// bodyRoom is what a buffer has beyond the longest head, for what is read of a body in chunks.
const bodyRoom = 4 << 10

// Conn is a client's connection: one message after another is read from it. Its methods are for the
// goroutine that serves the connection; while that one waits, a body may be read by another.
type Conn struct {
	net.Conn
	server *Server
	plain  *socket.Socket // what Conn is, if that is plain TCP

	head       wire.Request
	buffer     *[]byte // borrowed while there is a message, or part of one
	start, end int     // what of buffer is unread
	floor      int     // where the head under way ends in buffer
	fault      error   // why nothing more is read

	received int64 // octets of the message so far

	left    int64 // octets of the body still to come, or wire.Chunked
	chunks  wire.Chunks
	within  bool // a message is being read or answered
	waiting bool // the client waits for 100 (Continue)
	closing bool // nothing follows this answer
	pace    pace // of the body

	readBy, writeBy deadline
	sending         sync.Mutex  // over octets to the client
	answered        atomic.Bool // some of the answer have gone out
	active          atomic.Bool // a request is under way
	interrupted     atomic.Bool // its body is not wanted any more

	stream  bool          // it is a stream of HTTP/2, and carries one message
	streams int           // requests under way on a connection that carries streams; guarded by the server's lock, as the next two
	asked   bool          // there was such a request
	over    chan struct{} // of a connection that has ended: closed with the last of them; nil before
	address netip.Addr    // counted for Config.ConnectionsPerAddress; zero if nobody counts
	leaving leaving
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

// Received is how many octets of the request have come so far, framing and all.
func (c *Conn) Received() int64 { return c.received }

// Fault is why the client's octets are refused, nil if they are not.
func (c *Conn) Fault() error { return c.fault }

// next reads the head of the next message, and what of its body comes along. If the error is no Fault, the
// client left between messages.
func (c *Conn) next() error {
	c.received = 0
	if c.fault != nil {
		return c.fault
	}
	for lines := 0; ; {
		unread := c.unread()
		for lines < leadingLinesMax && len(unread) >= 2 && unread[0] == '\r' && unread[1] == '\n' {
			c.start, unread = c.start+2, unread[2:]
			lines++
		}
		if length := wire.HeadLength(unread); 0 < length && length <= c.server.config.HeadMax {
			return c.takeHead(length)
		}
		if len(unread) >= c.server.config.HeadMax {
			return c.failHead(ErrHeadTooLarge)
		}
		if err := c.fillHead(len(unread) > 0); err != nil {
			return err
		}
	}
}

// fillHead waits for octets of a head: long for the first, and then a fixed time for all.
func (c *Conn) fillHead(begun bool) error {
	if !begun {
		c.readBy.extend(c.Conn.SetReadDeadline, c.server.idleTimeout())
	} else if c.active.CompareAndSwap(false, true) {
		c.readBy.set(c.Conn.SetReadDeadline, c.server.settings().HeadTimeout)
	}
	n, err := c.fill()
	switch {
	case n > 0:
		return nil
	case begun:
		return c.failHead(within(err))
	default:
		return err
	}
}

func (c *Conn) takeHead(length int) error {
	c.active.Store(true)
	c.within, c.chunks, c.pace = true, wire.Chunks{}, pace{}
	c.answered.Store(false)
	if !c.stream { // who gives up a stream says so
		c.leaving.turn.Add(1)
		c.server.watch.wake()
	}
	if c.start > 0 && len(*c.buffer)-c.start-length < bodyRoom {
		c.moveTo(0)
	}
	head := c.unread()[:length]
	c.start += length
	c.floor, c.received = c.start, int64(length)
	if err := c.head.Parse(head); err != nil {
		return c.fail(err)
	}
	if err := c.head.CheckAnnounced(c.server.config.MayTrail); err != nil {
		return c.fail(err)
	}
	if c.head.Length > c.server.settings().BodyMax {
		return c.fail(ErrBodyTooLarge)
	}
	c.left = c.head.Length
	c.waiting = c.head.Continue && c.start == c.end
	return nil
}

// unread is what has come and was not taken.
func (c *Conn) unread() []byte {
	if c.buffer == nil {
		return nil
	}
	return (*c.buffer)[c.start:c.end]
}

// fill waits for octets behind those that are unread. The head under way stays where it is.
func (c *Conn) fill() (int, error) {
	if c.buffer == nil {
		c.start, c.end, c.floor = 0, 0, 0
		if c.plain != nil {
			buffer, n, err := c.plain.Receive(c.server.buffers)
			c.buffer, c.end = buffer, n
			return n, err
		}
		c.buffer = c.server.buffers.Take()
	}
	if c.start > c.floor {
		c.moveTo(c.floor)
	}
	var n int
	var err error
	if room := (*c.buffer)[c.end:]; c.within {
		n, err = c.readPaced(room)
	} else {
		n, err = c.Conn.Read(room)
	}
	c.end += n
	return n, err
}

// moveTo makes room behind what is unread.
func (c *Conn) moveTo(start int) {
	c.end = start + copy((*c.buffer)[start:], c.unread())
	c.start = start
}

// release ends a message's claim to the buffer; without octets of the next there is no need for it.
func (c *Conn) release() {
	if c.floor = 0; c.buffer != nil && c.start == c.end {
		c.server.buffers.Return(c.buffer)
		c.buffer = nil
	}
}

func (c *Conn) fail(err error) error {
	c.fault = err
	return err
}

// failHead refuses what became no head. The head before it is of the past, and so are its octets.
func (c *Conn) failHead(err error) error {
	c.head = wire.Request{}
	return c.fail(err)
}

// within names what ended a read in the middle of a message.
func within(err error) error {
	switch {
	case err == nil || slices.ContainsFunc(departures, func(departure error) bool { return errors.Is(err, departure) }):
		return ErrTruncated
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ErrSlow):
		return ErrSlow
	default:
		return err
	}
}

// departures are how reads end whose client has gone: it closed, in TLS without a goodbye or gave a stream up, it reset the
// connection, or its machine is heard of no more.
var departures = []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT}
