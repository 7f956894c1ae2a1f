package inbound

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/stead-io/stead/dataplane/socket"
)

// Pauses between attempts to accept while the process or the kernel is out of something.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept takes connections in until the listener is closed. It outlives a shortage of file descriptors.
func (s *Server) accept() {
	for pause := acceptPauseMin; ; {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			pause = acceptPauseMin
			s.take(conn)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		s.config.Logger.Warn("cannot accept a connection", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-s.stopping:
			return
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

// take serves a connection, or turns it away.
func (s *Server) take(socket net.Conn) {
	conn := s.register(socket)
	if conn == nil {
		s.TurnedAway.Add(1)
		turnAway(socket)
		return
	}
	s.clients.Go(func() { s.serve(conn) })
}

// register makes a socket a client's connection; nil if there are as many as may be. One of an address that has
// too many has a fault, for its goroutine to answer.
func (s *Server) register(conn net.Conn) *Conn {
	c := &Conn{Conn: conn, server: s, plain: socket.Of(conn)}
	limits := s.settings()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns)+s.multiplexed.further >= limits.Connections {
		return nil
	}
	s.conns[c] = struct{}{}
	if limits.ConnectionsPerAddress > 0 && !s.count(c, limits.ConnectionsPerAddress) {
		c.fault = ErrTooMany
	}
	return c
}

// prefixIPv6 is what one client of IPv6 has to itself, in bits.
const prefixIPv6 = 64

// count counts a connection for its client's address; false if that has as many as it may.
func (s *Server) count(conn *Conn, most int) bool {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return true // no IP: nobody to tell from others
	}
	address := from.Addr().Unmap().WithZone("")
	if address.Is6() {
		prefix, _ := address.Prefix(prefixIPv6)
		address = prefix.Addr()
	}
	if s.addresses[address] >= most {
		return false
	}
	s.addresses[address]++
	conn.address = address
	return true
}

func (s *Server) release(address netip.Addr) {
	if !address.IsValid() {
		return
	}
	if s.addresses[address]--; s.addresses[address] == 0 {
		delete(s.addresses, address)
	}
}

// crowded is the answer to a connection over the limit.
const crowded = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 33\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" +
	"This proxy has too many clients.\n"

// turnAway answers and closes a connection over the limit. The kernel has room for so few octets: nobody waits. In TLS
// the answer would wait for the client's part of the handshake, and with it whoever is to be accepted next: there is none.
func turnAway(socket net.Conn) {
	if _, inTLS := socket.(*tls.Conn); !inTLS {
		_ = socket.SetDeadline(time.Now().Add(acceptPauseMax))
		_, _ = socket.Write([]byte(crowded))
	}
	_ = socket.Close()
}
