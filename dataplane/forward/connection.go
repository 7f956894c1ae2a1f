package forward

import (
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/socket"
	"github.com/stead-io/stead/dataplane/wire"
)

// ErrClientGone is why a request fails whose client has left.
var ErrClientGone = errors.New("the client closed its side before it had its answer")

// connection carries one request at a time to a node; while it does, it is the answer. Its methods
// are for one goroutine, but for extend, which the upload calls too.
type connection struct {
	net.Conn
	socket net.Conn       // what Conn goes over: itself, unless that is TLS
	plain  *socket.Socket // what Conn is, if that is plain TCP
	home   *pool
	probe  *probe
	used   bool // it carried a request before

	lent       *[]byte // buffer, borrowed while there is a request
	buffer     []byte
	start, end int // what of buffer is unread

	patience time.Duration
	client   Client // nil if there is none to be asked, or the exchange is over
	upload   *upload
	answer   wire.Answer
	chunks   wire.Chunks
	left     int64 // octets of the body to come, if its length is known
	received bool  // an octet of the answer has come
	finished bool  // the answer was read to its end
	sent     bool  // the request went out whole
	since    time.Time

	offers   []string // protocols the node may change to; none: it may not, and the connection is used again
	protocol string   // the one it changed to

	until time.Time // how long to wait for the answer
	armed time.Time // the deadline for reading that is set; zero: not known
}

// errStale: something had come on an idle connection, so nothing was sent on it.
var errStale = errors.New("the node closed the connection, or sent what it was not asked for")

// exchange sends a request and reads the head of its answer. The failure's error is errStale if the connection was
// of no use.
func (c *connection) exchange(r *Request) *Failure {
	c.patience, c.upload, c.chunks = r.Patience, nil, wire.Chunks{}
	c.received, c.finished, c.sent = false, false, false
	c.client = r.Client
	if c.client != nil && !c.client.Hold(c.socket) {
		return c.settle(r, 0, ErrClientGone)
	}
	streams := r.Body != nil && !r.Body.ended
	if streams || c.plain == nil {
		c.borrow(answerBuffers.Take())
		if c.used && !(c.probe.quiet() && c.drained(r.Deadline)) {
			return &Failure{Stage: NotConnected, Err: errStale}
		}
	}
	if streams {
		return c.stream(r)
	}
	out := r.Head
	if r.Body != nil {
		out = appendWhole(r.Head, r.Body)
		r.Head = out[:len(r.Head)] // its array may have grown: the next request is glad of it
	}
	if c.plain != nil {
		return c.ask(r, out)
	}
	c.setDeadline(r.Deadline)
	n, err := c.Conn.Write(out)
	c.sent = err == nil
	return c.settle(r, int64(n), c.readHead(r))
}

// stream sends the head, and starts to send the body.
func (c *connection) stream(r *Request) *Failure {
	c.armed, c.until = time.Time{}, time.Time{} // deadlines are the upload's, too
	_ = c.SetDeadline(r.Deadline)
	n, err := c.Conn.Write(r.Head)
	if err != nil {
		return c.settle(r, int64(n), c.readHead(r))
	}
	_ = c.SetReadDeadline(time.Time{}) // the upload's to set, once the client has sent all
	c.upload = startUpload(c, r)
	err = c.readHead(r)
	if err != nil {
		r.Stop(r.Safe || transport.Refused(err))
		c.upload.Finish()
	}
	return c.settle(r, int64(len(r.Head)), err)
}

// settle turns what went wrong into a failure and gives the connection up.
func (c *connection) settle(r *Request, written int64, err error) *Failure {
	if err == nil {
		return nil
	}
	here := c.release()
	c.discard()
	failure := &Failure{Stage: Broken, Err: err, written: written}
	switch {
	case r.Body != nil && r.Body.err != nil:
		failure.Stage, failure.Err = ClientFailed, r.Body.err
	case !here:
		failure.Stage, failure.Err = ClientGone, ErrClientGone
	case errors.Is(err, os.ErrDeadlineExceeded):
		failure.Stage = TimedOut
	case !c.received && transport.Refused(err):
		failure.Stage = NotConnected // in TLS the node looks at the certificate after the first octets were sent
	case !c.received:
		failure.Stage = NotAnswered
	}
	return failure
}

// release tells the client that the connection is its no more; false if it has gone before.
func (c *connection) release() bool {
	client := c.client
	c.client = nil
	return client == nil || client.Hold(nil)
}

// Uploaded reports whether the node has been sent the whole request.
func (c *connection) Uploaded() bool { return c.sent || c.upload != nil && c.upload.Over() }

// Close ends the exchange. The connection is used again if both messages came to their end and
// nothing came after; a rest of the answer that is there already is read for that.
func (c *connection) Close() {
	c.release()
	if c.upload != nil {
		c.sent = c.upload.Finish()
		c.upload = nil
	}
	for !c.finished && c.start < c.end {
		if _, err := c.take(); err != nil {
			break
		}
	}
	reusable := c.offers == nil && c.sent && c.finished && c.start == c.end && c.answer.Persists() && c.answer.Length != wire.UntilClose
	if !reusable || !c.home.put(c) {
		c.discard()
	}
}

// drained reports that TLS holds no octets back that came with the last answer: the socket has given them
// already, and the probe cannot see them. A deadline that is over keeps it from reading more.
func (c *connection) drained(deadline time.Time) bool {
	if c.Conn == c.socket {
		return true
	}
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
	n, err := c.Conn.Read(c.buffer[:1])
	_ = c.Conn.SetReadDeadline(deadline)
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// discard closes the socket for good, without the goodbye of TLS: a node that does not read would hold
// it up, and one that sees the end of a message missing must not take it for whole.
func (c *connection) discard() {
	c.home.forget(c)
	_ = c.socket.Close()
}

// borrow takes a buffer for an answer.
func (c *connection) borrow(buffer *[]byte) { c.lent, c.buffer = buffer, *buffer }

// rest lends the buffer back: an idle connection has none.
func (c *connection) rest() {
	if c.lent != nil {
		answerBuffers.Return(c.lent)
	}
	c.lent, c.buffer, c.start, c.end, c.used = nil, nil, 0, 0, true
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
	return body.appendEnd(out)
}
