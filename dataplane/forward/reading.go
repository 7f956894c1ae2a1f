package forward

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stead-io/stead/dataplane/socket"
	"github.com/stead-io/stead/dataplane/wire"
)

// AnswerHeadMax bounds the head of an answer, by whichever transport.
const AnswerHeadMax = 32 << 10

// bufferSize holds the longest head, and is what one read of a body takes at most.
const bufferSize = AnswerHeadMax

var answerBuffers = socket.NewBuffers(bufferSize)

var (
	errHeadTooLarge = fmt.Errorf("the head of the answer is longer than %d octets", bufferSize)
	errSwitched     = errors.New("the node switched to a protocol that it was not asked for")
)

// readHead reads the head of the answer, and passes interim ones on. A request that could not be written
// may have been answered all the same.
func (c *connection) readHead(r *Request) error {
	for {
		if err := c.parseHead(); err != nil {
			return err
		}
		if c.answer.Status == 101 {
			if !c.switches() {
				return errSwitched
			}
			break
		}
		if !c.answer.Interim() {
			break
		}
		c.interim(r)
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

// interim takes an interim answer. 100 (Continue) is for this connection: the client has been told by the proxy.
func (c *connection) interim(r *Request) {
	switch {
	case c.answer.Status != 100 && r.Client != nil:
		r.Client.Interim(&c.answer)
	case c.answer.Status == 100 && c.upload != nil:
		c.upload.permit()
	}
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
		n, err := c.read(c.buffer[c.end:])
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
	if c.upload != nil {
		c.extend()
	} else {
		c.waitUntil(time.Now().Add(c.patience), c.patience)
	}
	n, err := c.read(c.buffer)
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

// Trailers are the lines behind the body that may be passed on, once Next has returned io.EOF. What the head
// named as this connection's own is no longer known by then: an answer that names any has none.
func (c *connection) Trailers() []byte {
	if c.chunks.Trailers() == nil || c.answer.NamesFields() {
		return nil
	}
	return wire.AppendTrailers(nil, c.chunks.Trailers(), &wire.Head{})
}
