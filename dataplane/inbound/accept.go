package inbound

import (
	"errors"
	"net"
	"time"
)

// Pauses between attempts to accept while the process or the kernel is out of something.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// registrar hands fasthttp connections that the server knows of. It outlives a shortage of file
// descriptors, at which fasthttp would stop serving.
type registrar struct {
	net.Listener
	server *Server
}

func (r registrar) Accept() (net.Conn, error) {
	pause := acceptPauseMin
	for {
		socket, err := r.Listener.Accept()
		if err == nil {
			return r.server.register(socket), nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		r.server.config.Logger.Warn("cannot accept a connection", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-r.server.stopping:
			return nil, net.ErrClosed
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

func (s *Server) register(socket net.Conn) *Conn {
	conn := &Conn{Conn: socket, server: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = struct{}{}
	return conn
}
