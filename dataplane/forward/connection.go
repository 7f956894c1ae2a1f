package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/wire"
)

// bufferSize bounds the head of an answer, and is what one read of its body takes at most.
const bufferSize = 32 << 10

var (
	errHeadTooLarge = fmt.Errorf("the head of the answer is longer than %d octets", bufferSize)
	errSwitched     = errors.New("the node switched protocols without being asked")
)

// connection carries one request at a time to a node; while it does, it is the answer. Its methods
// are for one goroutine, but for extend, which the upload calls too.
type connection struct {
	net.Conn
	socket net.Conn // what Conn goes over: itself, unless that is TLS
	home   *pool
	probe  *probe

	buffer     []byte
	start, end int // what of buffer is unread

	patience time.Duration
	upload   *upload
	answer   wire.Answer
	chunks   wire.Chunks
	left     int64 // octets of the body to come, if its length is known
	received bool  // an octet of the answer has come
	finished bool  // the answer was read to its end
	sent     bool  // the request went out whole
	since    time.Time
}

// exchange sends a request and reads the head of its answer.
func (c *connection) exchange(r *Request) *Failure {
	c.patience, c.upload, c.chunks = r.Patience, nil, wire.Chunks{}
	c.received, c.finished, c.sent = false, false, false
	if r.Body != nil && !r.Body.ended {
		return c.stream(r)
	}
	out := r.Head
	if r.Body != nil {
		out = appendWhole(r.Head, r.Body)
		r.Head = out[:len(r.Head)] // its array may have grown: the next request is glad of it
	}
	n, err := c.Conn.Write(out)
	c.sent = err == nil
	return c.settle(r, int64(n), c.readHead(r))
}

// stream sends the head, and starts to send the body.
func (c *connection) stream(r *Request) *Failure {
	n, err := c.Conn.Write(r.Head)
	if err != nil {
		return c.settle(r, int64(n), c.readHead(r))
	}
	c.extend()
	c.upload = startUpload(c, r)
	err = c.readHead(r)
	if err != nil {
		if !r.Body.Replayable() && r.Client != nil {
			r.Client.InterruptRead()
		}
		c.upload.finish()
	}
	return c.settle(r, int64(len(r.Head)), err)
}

// settle turns what went wrong into a failure and gives the connection up.
func (c *connection) settle(r *Request, written int64, err error) *Failure {
	if err == nil {
		return nil
	}
	c.discard()
	failure := &Failure{Stage: Broken, Err: err, written: written}
	switch {
	case r.Body != nil && r.Body.err != nil:
		failure.Stage, failure.Err = ClientFailed, r.Body.err
	case errors.Is(err, os.ErrDeadlineExceeded):
		failure.Stage = TimedOut
	case !c.received && transport.Refused(err):
		failure.Stage = NotConnected // in TLS the node looks at the certificate after the first octets were sent
	case !c.received:
		failure.Stage = NotAnswered
	}
	return failure
}

// readHead reads the head of the answer, past interim ones. A request that could not be written
// may have been answered all the same.
func (c *connection) readHead(r *Request) error {
	for {
		if err := c.parseHead(); err != nil {
			return err
		}
		if c.answer.Status == 101 {
			return errSwitched
		}
		if !c.answer.Interim() {
			break
		}
		if c.answer.Status == 100 && c.upload != nil {
			c.upload.permit()
		}
	}
	if c.upload != nil {
		c.upload.answered.Store(true)
		c.extend()
	}
	if r.HeadOnly {
		c.answer.NoBody()
	}
	c.left = c.answer.Length
	c.finished = c.left == 0
	return nil
}

func (c *connection) parseHead() error {
	for {
		if length := wire.HeadLength(c.buffer[c.start:c.end]); length > 0 {
			head := c.buffer[c.start : c.start+length]
			c.start += length
			return c.answer.Parse(head)
		}
		if c.start > 0 {
			c.end = copy(c.buffer, c.buffer[c.start:c.end])
			c.start = 0
		}
		if c.end == len(c.buffer) {
			return errHeadTooLarge
		}
		n, err := c.Conn.Read(c.buffer[c.end:])
		c.end += n
		c.received = c.received || n > 0
		if err != nil && n == 0 {
			return err
		}
	}
}

// Head is the head of the answer, valid until the first Next.
func (c *connection) Head() *wire.Answer { return &c.answer }

// Ready reports whether Next has something to look at.
func (c *connection) Ready() bool { return c.finished || c.start < c.end }

// Next returns the next octets of the body, valid until the call after it; io.EOF behind the last.
// It waits for the node at most once: where only framing has come, there are no octets.
func (c *connection) Next() ([]byte, error) {
	if c.finished {
		return nil, io.EOF
	}
	if c.start == c.end {
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
	return c.take()
}

// take cuts octets of the body from the buffer.
func (c *connection) take() (piece []byte, err error) {
	unread := c.buffer[c.start:c.end]
	if c.answer.Length == wire.Chunked {
		n, piece, err := c.chunks.Next(unread)
		c.start += n
		c.finished = c.chunks.Done()
		return piece, err
	}
	if c.left >= 0 && int64(len(unread)) > c.left {
		unread = unread[:c.left]
	}
	c.start += len(unread)
	if c.left >= 0 {
		c.left -= int64(len(unread))
		c.finished = c.left == 0
	}
	return unread, nil
}

func (c *connection) fill() error {
	c.extend()
	n, err := c.Conn.Read(c.buffer)
	c.start, c.end = 0, n
	switch {
	case n > 0:
		return nil
	case err == io.EOF && c.answer.Length == wire.UntilClose:
		c.finished = true
		return nil
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}

// Uploaded reports whether the node has been sent the whole request.
func (c *connection) Uploaded() bool { return c.sent || c.upload != nil && c.upload.over() }

// Close ends the exchange. The connection is used again if both messages came to their end and
// nothing came after; a rest of the answer that is there already is read for that.
func (c *connection) Close() {
	if c.upload != nil {
		c.sent = c.upload.finish()
		c.upload = nil
	}
	for !c.finished && c.start < c.end {
		if _, err := c.take(); err != nil {
			break
		}
	}
	reusable := c.sent && c.finished && c.start == c.end && c.answer.Persists() && c.answer.Length != wire.UntilClose
	if !reusable || !c.home.put(c) {
		c.discard()
	}
}

// discard closes the socket for good, without the goodbye of TLS: a node that does not read would hold
// it up, and one that sees the end of a message missing must not take it for whole.
func (c *connection) discard() {
	c.home.forget(c)
	_ = c.socket.Close()
}

// extend moves the deadline on: a stream may take as long as it likes while it moves.
func (c *connection) extend() { _ = c.Conn.SetDeadline(time.Now().Add(c.patience)) }

// appendWhole writes a body that is all there.
func appendWhole(out []byte, body *Body) []byte {
	if !body.chunked() {
		return append(out, body.kept...)
	}
	if len(body.kept) > 0 {
		out = strconv.AppendInt(out, int64(len(body.kept)), 16)
		out = append(append(append(out, '\r', '\n'), body.kept...), '\r', '\n')
	}
	return append(out, "0\r\n\r\n"...)
}
