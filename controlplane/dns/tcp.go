package dns

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Limits of DNS over TCP (RFC 7766).
const (
	// connectionsMax is how many connections are served at a time; the next one is closed at once.
	connectionsMax = 256
	// idleTimeout is how long a connection may be silent, and a query take to arrive.
	idleTimeout = 10 * time.Second
	// writeTimeout is how long an asker may take to read an answer.
	writeTimeout = 5 * time.Second
	// queriesMax is how many queries one connection may send.
	queriesMax = 1024
)

// serveTCP takes connections until the listener ends, and waits for the last one.
func (s *Server) serveTCP(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := s.tcp.Accept()
		if closed(ctx, err) {
			return
		}
		if err != nil {
			s.afterError(ctx, err)
			continue
		}
		if !s.enter(conn) {
			_ = conn.Close()
			continue
		}
		all.Go(func() {
			defer s.leave(conn)
			s.converse(conn)
		})
	}
}

func (s *Server) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil || len(s.conns) >= connectionsMax {
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Server) leave(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// converse answers the queries of one connection in turn. What is no query ends it.
func (s *Server) converse(conn net.Conn) {
	var buffer []byte
	for range queriesMax {
		_ = conn.SetReadDeadline(time.Now().Add(idleTimeout))
		query, err := readFramed(conn, buffer)
		if err != nil {
			return // the asker is done, or too slow
		}
		buffer = query
		answer := s.zone.Load().answer(query, false, rand.Uint64())
		s.metrics.count("tcp", answer)
		if answer.packet == nil {
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if writeFramed(conn, answer.packet) != nil {
			return
		}
	}
}

// readFramed reads a message behind its length, into buffer if that is long enough.
func readFramed(from io.Reader, buffer []byte) ([]byte, error) {
	var prefix [2]byte
	if _, err := io.ReadFull(from, prefix[:]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(prefix[:]))
	if cap(buffer) < length {
		buffer = make([]byte, length)
	}
	_, err := io.ReadFull(from, buffer[:length])
	return buffer[:length], err
}

// writeFramed writes length and message at once: some askers take no less from one read.
func writeFramed(to io.Writer, message []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	_, err := to.Write(append(framed, message...))
	return err
}
