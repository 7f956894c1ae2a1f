package consensus

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stead-io/stead/api"
)

// Each connection between members opens with one line: the greeting and the id of the member it is
// meant for. Without it, a member restarted on an address that was another's would accept that
// other's log entries, acknowledge them, and be counted as a second copy of itself.
const (
	greeting        = "stead-raft/1 "
	greetingMax     = 256
	greetingTimeout = 3 * time.Second
)

// resolver turns a member id into "id@host:port", so that the dial below knows whom to greet.
type resolver func(api.MemberID) (string, error)

// ServerAddr implements raft.ServerAddressProvider.
func (resolve resolver) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	address, err := resolve(api.MemberID(id))
	if err != nil {
		return "", err
	}
	return raft.ServerAddress(string(id) + "@" + address), nil
}

// streamLayer implements raft.StreamLayer.
type streamLayer struct {
	net.Listener
	self api.MemberID
	dial func(context.Context, api.MemberID, string) (net.Conn, error)

	mu       sync.Mutex
	closed   bool
	accepted map[*greetedConn]struct{}
}

func newStreamLayer(config Config) *streamLayer {
	return &streamLayer{
		Listener: config.Listener, self: config.ID, dial: config.Dial,
		accepted: make(map[*greetedConn]struct{}),
	}
}

// Dial connects and greets.
func (s *streamLayer) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, address, found := strings.Cut(string(target), "@")
	if !found {
		return nil, fmt.Errorf("cannot dial member %s: its address is not known yet", target)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := s.dial(ctx, api.MemberID(id), address)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, greeting+id+"\n"); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot greet member %s: %w", id, err)
	}
	return conn, nil
}

// Accept returns connections whose greeting is checked on their first read, which happens in the
// connection's own goroutine: a silent caller holds up nobody.
func (s *streamLayer) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	greeted := &greetedConn{Conn: conn, reader: bufio.NewReaderSize(conn, greetingMax), self: s.self, layer: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	s.accepted[greeted] = struct{}{}
	return greeted, nil
}

// Close stops listening and ends the connections that came in: Raft's transport leaves those open.
func (s *streamLayer) Close() error {
	s.mu.Lock()
	s.closed = true
	open := s.accepted
	s.accepted = nil
	s.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
	return s.Listener.Close()
}

func (s *streamLayer) forget(conn *greetedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accepted, conn)
}

// greetedConn reads nothing before the greeting was found right.
type greetedConn struct {
	net.Conn
	reader *bufio.Reader
	self   api.MemberID
	layer  *streamLayer
	once   sync.Once
	err    error
}

func (c *greetedConn) Read(p []byte) (int, error) {
	c.once.Do(func() { c.err = c.checkGreeting() })
	if c.err != nil {
		return 0, c.err
	}
	return c.reader.Read(p)
}

// Close ends the connection.
func (c *greetedConn) Close() error {
	c.layer.forget(c)
	return c.Conn.Close()
}

func (c *greetedConn) checkGreeting() error {
	_ = c.SetDeadline(time.Now().Add(greetingTimeout)) // with TLS, its handshake falls in here too
	line, err := c.reader.ReadSlice('\n')
	if err == io.EOF && len(line) == 0 {
		return io.EOF // somebody looked whether the port is open: Raft passes over it in silence
	}
	if err != nil {
		return fmt.Errorf("cannot read the greeting of %s: %w", c.RemoteAddr(), err)
	}
	_ = c.SetDeadline(time.Time{})
	if want := greeting + string(c.self) + "\n"; string(line) != want {
		return fmt.Errorf("%s greeted %q, this is member %s", c.RemoteAddr(), api.Clip(string(line)), c.self)
	}
	return nil
}
