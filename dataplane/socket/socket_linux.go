//go:build linux && (amd64 || arm64)

package socket

import (
	"io"
	"net"
	"syscall"
	"unsafe"
)

// Socket is a plain TCP connection. One goroutine may receive or ask while another sends.
type Socket struct {
	raw syscall.RawConn

	buffers *Buffers // to read to
	sent    Sent     // what came of reading, and of asking
	err     error

	out    []byte // of Ask
	octet  [1]byte
	probed bool
	eager  bool // nobody looked before the request was sent

	sending []byte // of Send
	written int
	sendErr error

	receive, ask, send func(fd uintptr) bool // made once: method values allocate
}

// Of is the socket of a plain TCP connection; nil if it is another.
func Of(conn net.Conn) *Socket {
	tcp, plain := conn.(*net.TCPConn)
	if !plain {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	s := &Socket{raw: raw}
	s.receive, s.ask, s.send = s.receiveNow, s.askNow, s.sendNow
	return s
}

// Receive waits for octets, and only then takes a buffer for them: the caller returns it. Errors are net.Conn's.
func (s *Socket) Receive(buffers *Buffers) (buffer *[]byte, n int, err error) {
	s.buffers, s.sent, s.err = buffers, Sent{}, nil
	if err = s.raw.Read(s.receive); err == nil {
		err = s.err
	}
	return s.sent.Buffer, s.sent.Read, err
}

// receiveNow reads to a buffer, if there is anything to read.
func (s *Socket) receiveNow(fd uintptr) bool {
	buffer := s.buffers.Take()
	n, done := s.read(fd, *buffer)
	if n == 0 {
		s.buffers.Return(buffer)
		return done
	}
	s.sent.Buffer, s.sent.Read = buffer, n
	return true
}

// Ask sends a request and waits for the first octets of its answer. On a connection that was used before it looks
// first, and sends nothing if anything has come: that would be taken for the answer. The poller begins to take note
// of what comes before that look, so that nothing is missed without a second one behind the request.
func (s *Socket) Ask(request []byte, answers *Buffers, used bool) (Sent, error) {
	s.out, s.buffers, s.probed, s.eager, s.sent, s.err = request, answers, !used, !used, Sent{}, nil
	err := s.raw.Read(s.ask)
	s.out = nil
	if err == nil {
		err = s.err
	}
	return s.sent, err
}

func (s *Socket) askNow(fd uintptr) bool {
	if !s.probed {
		s.probed = true
		if _, something := s.read(fd, s.octet[:]); something {
			s.sent, s.err = Sent{Stale: true}, nil
			return true
		}
	}
	if s.sent.Written == 0 {
		n, errno := transfer(syscall.SYS_SENDTO, fd, s.out, syscall.MSG_NOSIGNAL)
		switch {
		case errno == syscall.EAGAIN || errno == syscall.EINTR:
			return true
		case errno != 0:
			s.err = &net.OpError{Op: "write", Net: "tcp", Err: errno}
			return true
		}
		s.sent.Written = n
		if n < len(s.out) || !s.eager {
			return n < len(s.out)
		}
	}
	return s.receiveNow(fd)
}

// read reports how much there was, and false if there is nothing to read now.
func (s *Socket) read(fd uintptr, p []byte) (n int, done bool) {
	n, errno := transfer(syscall.SYS_RECVFROM, fd, p, 0)
	for errno == syscall.EINTR {
		n, errno = transfer(syscall.SYS_RECVFROM, fd, p, 0)
	}
	switch {
	case errno == syscall.EAGAIN:
		return 0, false
	case errno != 0:
		s.err = &net.OpError{Op: "read", Net: "tcp", Err: errno}
	case n == 0:
		s.err = io.EOF
	}
	return n, true
}

// Send sends all of p. Errors are net.Conn's.
func (s *Socket) Send(p []byte) error {
	s.sending, s.written, s.sendErr = p, 0, nil
	err := s.raw.Write(s.send)
	s.sending = nil
	if err == nil {
		err = s.sendErr
	}
	return err
}

func (s *Socket) sendNow(fd uintptr) bool {
	for s.written < len(s.sending) {
		n, errno := transfer(syscall.SYS_SENDTO, fd, s.sending[s.written:], syscall.MSG_NOSIGNAL)
		switch {
		case errno == syscall.EAGAIN:
			return false
		case errno == syscall.EINTR:
		case errno != 0:
			s.sendErr = &net.OpError{Op: "write", Net: "tcp", Err: errno}
			return true
		}
		s.written += n
	}
	return true
}

// transfer is recvfrom or sendto on a socket that does not block, which spares telling Go's scheduler about it.
func transfer(call, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	n, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
