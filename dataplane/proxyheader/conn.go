// Package proxyheader reads the PROXY protocol, versions 1 and 2, in which a proxy of connections says whom
// each is from (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
//
// It owns the header, from the first octet of a connection to where TLS or HTTP begin, and the address it
// names; it does not own whose word is taken for that. Its invariant: not an octet passes before a whole,
// well-formed header, and a connection without one is closed.
package proxyheader

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config of connections. Every field must be set.
type Config struct {
	// Timeout is for the header, from when the connection was accepted.
	Timeout time.Duration
	// Failed hears of connections that were closed because they began with no header in time; not of those that
	// ended without an octet.
	Failed func(*Conn, error)
}

// Conn is a connection that begins with a header. Its first Read, or RemoteAddr behind it, is what reads the
// header; it has one reader at a time.
type Conn struct {
	net.Conn
	config Config

	passed bool   // the header was read, or failed
	ahead  []byte // octets read beyond it
	fault  error
	named  atomic.Pointer[net.TCPAddr]

	mu     sync.Mutex
	by     time.Time // when the header must be there; zero once it is
	wanted time.Time // the deadline of reading that was asked for
}

// New takes over a connection that was accepted.
func New(socket net.Conn, config Config) *Conn {
	c := &Conn{Conn: socket, config: config, by: time.Now().Add(config.Timeout)}
	_ = socket.SetReadDeadline(c.by)
	return c
}

// Read reads what follows the header.
func (c *Conn) Read(p []byte) (int, error) {
	if !c.passed {
		c.passed = true
		c.fault = c.readHeader()
		if c.fault != nil && c.fault != io.EOF {
			c.config.Failed(c, c.fault)
		}
		if c.fault != nil {
			_ = c.Conn.Close()
		}
	}
	switch {
	case c.fault != nil:
		return 0, c.fault
	case len(c.ahead) > 0:
		n := copy(p, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		return n, nil
	default:
		return c.Conn.Read(p)
	}
}

func (c *Conn) readHeader() error {
	buffer := make([]byte, LengthMax)
	for n := 0; ; {
		read, err := c.Conn.Read(buffer[n:])
		n += read
		header, length, malformed := Parse(buffer[:n])
		switch {
		case n > 0 && malformed == nil:
			c.take(header, buffer[length:n])
			return nil
		case n > 0 && !errors.Is(malformed, ErrShort):
			return malformed
		case err == io.EOF && n == 0:
			return err // it only looked whether somebody is there
		case err != nil:
			return fmt.Errorf("cannot read the PROXY header: %w", err)
		}
	}
}

func (c *Conn) take(header Header, ahead []byte) {
	c.ahead = append([]byte(nil), ahead...)
	if header.Source.IsValid() {
		c.named.Store(net.TCPAddrFromAddrPort(header.Source))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = time.Time{}
	_ = c.Conn.SetReadDeadline(c.wanted)
}

// RemoteAddr is whom the header names; before it was read, or where it names nobody, the other end.
func (c *Conn) RemoteAddr() net.Addr {
	if named := c.named.Load(); named != nil {
		return named
	}
	return c.Conn.RemoteAddr()
}

// NetConn is the connection beneath.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Peer is the other end itself.
func (c *Conn) Peer() net.Addr { return c.Conn.RemoteAddr() }

// SetReadDeadline holds for what follows the header, too; the header has its own.
func (c *Conn) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = at
	if !c.by.IsZero() && (at.IsZero() || at.After(c.by)) {
		at = c.by
	}
	return c.Conn.SetReadDeadline(at)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(at time.Time) error {
	return errors.Join(c.SetReadDeadline(at), c.SetWriteDeadline(at))
}

// CloseWrite says that nothing more will be written.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger says what becomes of octets that are not sent when the connection is closed.
func (c *Conn) SetLinger(seconds int) error {
	if socket, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return socket.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}
