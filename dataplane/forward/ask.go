package forward

import (
	"errors"
	"os"
	"time"
)

// ask sends a whole request over plain TCP and waits for its answer, with one call to the kernel each, and one
// before them that shows whether the connection is still of use.
func (c *connection) ask(r *Request, out []byte) *Failure {
	c.waitUntil(r.Deadline, r.Wait)
	sent, err := c.plain.Ask(out, answerBuffers, c.used)
	for c.early(err) {
		if sent.Written == 0 {
			sent, err = c.plain.Ask(out, answerBuffers, c.used)
		} else {
			sent.Buffer, sent.Read, err = c.plain.Receive(answerBuffers)
		}
	}
	if sent.Stale {
		return &Failure{Stage: NotConnected, Err: errStale}
	}
	if sent.Written < len(out) {
		return c.askOn(r, out, sent.Written)
	}
	c.sent, c.received = true, sent.Read > 0
	if err == nil {
		c.borrow(sent.Buffer)
		c.end = sent.Read
		err = c.readHead(r)
	}
	return c.settle(r, int64(len(out)), err)
}

// askOn sends what the kernel had no room for, or could not send.
func (c *connection) askOn(r *Request, out []byte, written int) *Failure {
	c.borrow(answerBuffers.Take())
	c.setDeadline(r.Deadline)
	n, err := c.Conn.Write(out[written:])
	c.sent = err == nil
	return c.settle(r, int64(written+n), c.readHead(r))
}

// waitUntil sets how long reads wait, which is about a span from now. Moving the poller's deadline costs more than
// looking at it: one that is not more than an eighth of the span too early stays, and early sees to the rest.
func (c *connection) waitUntil(until time.Time, span time.Duration) {
	c.until = until
	if lead := until.Sub(c.armed); c.armed.IsZero() || lead < 0 || lead > span/8 {
		c.arm()
	}
}

func (c *connection) arm() {
	c.armed = c.until
	_ = c.SetReadDeadline(c.until)
}

// setDeadline sets that of writes, too.
func (c *connection) setDeadline(at time.Time) {
	c.until, c.armed = at, at
	_ = c.SetDeadline(at)
}

// early reports whether a wait ended before its time, and sets the deadline right.
func (c *connection) early(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.armed.Before(c.until) {
		return false
	}
	c.arm()
	return true
}

// read reads as net.Conn does, but for deadlines that came early.
func (c *connection) read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for n == 0 && c.early(err) {
		n, err = c.Conn.Read(p)
	}
	return n, err
}
