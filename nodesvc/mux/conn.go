package mux

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/stead-io/stead/api/frames"
)

// Violations of a proxy.
const (
	errHello  = frames.Error("the first frame is no hello, or a later one is")
	errStream = frames.Error("a stream's number is not above the last one's")
	errNever  = frames.Error("a frame is for a stream that was never opened")
)

var (
	errIdle     = errors.New("nothing came for long")
	errAnswered = errors.New("all is answered")
	errGone     = errors.New("the proxy has no use for the answer any more")
)

// conn is one connection of a proxy.
type conn struct {
	server  *Server
	upgrade *http.Request
	base    context.Context // of all requests
	cancel  context.CancelCauseFunc

	socket net.Conn
	reader *frames.Reader
	window uint32 // what the proxy takes ahead

	ready   chan struct{}  // closed when out is there
	out     *frames.Outbox // its lock guards what follows
	streams map[uint64]*stream
	free    []*stream
	last    uint64 // the highest stream seen
	away    bool   // none is taken any more
	by      time.Time

	handlers sync.WaitGroup
}

func newConn(server *Server, upgrade *http.Request) *conn {
	base, cancel := context.WithCancelCause(upgrade.Context())
	return &conn{
		server: server, upgrade: upgrade, base: base, cancel: cancel,
		ready: make(chan struct{}), streams: make(map[uint64]*stream),
	}
}

// serve reads frames until the connection ends, and waits for the handlers.
func (c *conn) serve(socket net.Conn, before []byte) error {
	c.socket, c.reader, c.out = socket, frames.NewReader(socket, before), frames.NewOutbox(socket)
	close(c.ready)
	if c.server.isDraining() {
		c.goAway()
	}
	err := c.read()
	c.hangUp(err)
	c.out.Lock()
	for id, s := range c.streams {
		s.flow.Fail(id, errGone)
	}
	c.out.Unlock()
	c.handlers.Wait()
	return err
}

// hangUp ends the connection; it may not have begun. Handlers hear of it when nothing can be written any more: an
// answer that one ends for that reason is not whole.
func (c *conn) hangUp(err error) {
	defer c.cancel(err)
	select {
	case <-c.ready:
		c.out.Close(err)
	default:
	}
}

func (c *conn) read() error {
	hello, err := c.next()
	if err != nil {
		return err
	}
	if hello.Type != frames.TypeHello {
		return errHello
	}
	c.window = hello.Limits.Window
	for {
		frame, err := c.next()
		if err == nil {
			err = c.take(&frame)
		}
		if err != nil {
			return err
		}
	}
}

// next reads a frame. A connection without streams must not be silent for ever.
func (c *conn) next() (frames.Frame, error) {
	for {
		if c.base.Err() != nil {
			return frames.Frame{}, context.Cause(c.base)
		}
		c.extend()
		frame, err := c.reader.Next()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return frame, err
		}
		c.out.Lock()
		idle, away := len(c.streams) == 0, c.away
		c.out.Unlock()
		if idle && away {
			return frame, errAnswered
		}
		if idle {
			return frame, errIdle
		}
	}
}

// extend moves the read deadline on, unless it is far enough.
func (c *conn) extend() {
	now := time.Now()
	if c.by.Sub(now) >= idleMax/2 {
		return
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.away && len(c.streams) == 0 {
		return // it lingers
	}
	c.by = now.Add(idleMax)
	_ = c.socket.SetReadDeadline(c.by)
}

// take acts on a frame. The error is a violation.
func (c *conn) take(f *frames.Frame) error {
	switch f.Type {
	case frames.TypeHello:
		return errHello
	case frames.TypeGoAway:
		return nil // the proxy opens no more: it will close
	case frames.TypeHead:
		return c.open(f)
	}
	c.out.Lock()
	s, known := c.streams[f.Stream], f.Stream <= c.last || c.away
	c.out.Unlock()
	switch {
	case !known:
		return errNever
	case s == nil:
		return nil
	case f.Type == frames.TypeData, f.Type == frames.TypeTrailers:
		return s.flow.Deliver(f)
	case f.Type == frames.TypeWindow:
		return s.flow.Grant(f.Stream, int(f.Number))
	default:
		s.giveUp(f.Stream)
		return nil
	}
}

// open begins a stream, and its handler.
func (c *conn) open(f *frames.Frame) error {
	c.out.Lock()
	if f.Stream <= c.last && !c.away {
		c.out.Unlock()
		return errStream
	}
	if c.away {
		c.out.Unlock()
		return nil // the proxy has been told, or is about to hear it
	}
	c.last = f.Stream
	if len(c.streams) >= StreamsMax {
		c.out.Put(frames.AppendReset(c.out.Queue(), f.Stream, frames.CodeRefused))
		c.out.Release()
		return nil
	}
	s := c.stream()
	c.streams[f.Stream] = s
	c.out.Unlock()
	if err := s.begin(f); err != nil {
		return err
	}
	c.handlers.Go(s.serve)
	return nil
}

// stream is one that is used again, or a new one.
func (c *conn) stream() *stream {
	if last := len(c.free) - 1; last >= 0 {
		s := c.free[last]
		c.free = c.free[:last]
		return s
	}
	return newStream(c)
}

// forget ends a stream, under the lock; if it was the last of a connection that ends, the proxy has a moment
// to close it.
func (c *conn) forget(s *stream, id uint64) {
	delete(c.streams, id)
	s.flow.Forget()
	c.free = append(c.free, s)
	if c.away && len(c.streams) == 0 {
		c.linger()
	}
}

func (c *conn) linger() { _ = c.socket.SetReadDeadline(time.Now().Add(lingerMax)) }

// goAway takes no more streams.
func (c *conn) goAway() {
	select {
	case <-c.ready:
	default:
		return // it is being upgraded, and looks for itself
	}
	c.out.Lock()
	if c.away {
		c.out.Unlock()
		return
	}
	c.away = true
	c.out.Put(frames.AppendGoAway(c.out.Queue(), c.last))
	if len(c.streams) == 0 {
		c.linger()
	}
	c.out.Release()
}
