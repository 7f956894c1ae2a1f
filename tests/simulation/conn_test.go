package simulation

import (
	"io"
	"net"
	"os"
	"time"
)

// inFlightMax is how many octets are on their way before a writer waits, in bytes.
const inFlightMax = 256 << 10

// stream is one direction of a connection. All of it is guarded by the network's mutex.
type stream struct {
	network  *network
	from, to host
	pieces   []piece
	size     int   // bytes in pieces
	broken   error // the connection was reset
	ended    bool  // the writer has closed
	left     bool  // the reader has
	changed  chan struct{}
}

// piece is what arrives at once.
type piece struct {
	at     time.Time
	octets []byte
}

// stream makes one; the network is locked.
func (n *network) stream(from, to host) *stream {
	s := &stream{network: n, from: from, to: to, changed: make(chan struct{})}
	n.streams[s] = true
	return s
}

func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// take reads what has arrived; otherwise it says when to look again, at the latest.
func (s *stream) take(p []byte, now time.Time) (n int, again time.Time, err error) {
	switch {
	case s.left:
		return 0, again, net.ErrClosed
	case s.broken != nil:
		return 0, again, s.broken
	case len(s.pieces) == 0 && s.ended:
		return 0, again, io.EOF
	case len(s.pieces) == 0 || !s.network.open(s.from, s.to):
		return 0, again, nil
	case s.pieces[0].at.After(now):
		return 0, s.pieces[0].at, nil
	}
	first := &s.pieces[0]
	n = copy(p, first.octets)
	if first.octets = first.octets[n:]; len(first.octets) == 0 {
		s.pieces = s.pieces[1:]
	}
	s.size -= n
	s.wake()
	return n, again, nil
}

// put sends octets, in two pieces now and then: a reset may come between them.
func (s *stream) put(p []byte, now time.Time) (n int, err error) {
	switch {
	case s.ended:
		return 0, net.ErrClosed
	case s.broken != nil:
		return 0, s.broken
	case s.left:
		return 0, errReset
	}
	n = min(len(p), inFlightMax-s.size)
	if n == 0 {
		return 0, nil
	}
	first := n
	if n > 1 && s.network.random.IntN(20) == 0 {
		first = 1 + s.network.random.IntN(n-1)
	}
	s.add(p[:first], now)
	if first < n {
		s.add(p[first:n], now)
	}
	s.wake()
	return n, nil
}

func (s *stream) add(p []byte, now time.Time) {
	at := now.Add(s.network.someDelay())
	if last := len(s.pieces); last > 0 && s.pieces[last-1].at.After(at) {
		at = s.pieces[last-1].at
	}
	s.pieces = append(s.pieces, piece{at, append([]byte(nil), p...)})
	s.size += len(p)
}

// conn is one end of a connection.
type conn struct {
	in, out             *stream
	readUntil, putUntil time.Time // guarded by the network's mutex
}

func (c *conn) Read(p []byte) (int, error) {
	return c.try(c.in, &c.readUntil, func(now time.Time) (int, time.Time, error) { return c.in.take(p, now) })
}

func (c *conn) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		var n int
		n, err = c.try(c.out, &c.putUntil, func(now time.Time) (int, time.Time, error) {
			n, err := c.out.put(p[written:], now)
			return n, time.Time{}, err
		})
		written += n
	}
	return written, err
}

// try does f until it comes to something, or the deadline has passed.
func (c *conn) try(on *stream, until *time.Time, f func(time.Time) (int, time.Time, error)) (int, error) {
	network := on.network
	for {
		network.mu.Lock()
		now := time.Now()
		if !until.IsZero() && !now.Before(*until) {
			network.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		n, again, err := f(now)
		changed := on.changed
		if again.IsZero() || !until.IsZero() && until.Before(again) {
			again = *until
		}
		network.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
		await(changed, again)
	}
}

// await waits for a channel, at most until a time; zero: for ever.
func await(changed <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// Close sends the end behind what was written.
func (c *conn) Close() error {
	network := c.in.network
	network.mu.Lock()
	defer network.mu.Unlock()
	c.in.left, c.out.ended = true, true
	c.in.wake()
	c.out.wake()
	delete(network.streams, c.in)
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.until(&c.readUntil, c.in, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.until(&c.putUntil, c.out, t) }

func (c *conn) until(which *time.Time, on *stream, t time.Time) error {
	on.network.mu.Lock()
	defer on.network.mu.Unlock()
	*which = t
	on.wake()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return address(c.out.from) }
func (c *conn) RemoteAddr() net.Addr { return address(c.out.to) }

type address host

func (a address) Network() string { return "simulated" }
func (a address) String() string  { return string(a) }
