package transport

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Socket is a copy of what lies beneath a listener of ListenFor, for another process to adopt. Both have one queue
// then: who connects is accepted by either, and closing one of the two refuses nobody.
func Socket(of net.Listener) (*os.File, error) {
	door, ok := of.(*listener)
	if !ok {
		return nil, fmt.Errorf("cannot copy the socket of %s: it is not a listener of this package", of.Addr())
	}
	raw, err := door.tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("cannot copy the socket of %s: %w", of.Addr(), err)
	}
	// Not net.TCPListener.File: a file of that kind, once it is passed on, has both block their threads in accept.
	copied, failed := -1, error(nil)
	err = raw.Control(func(fd uintptr) { copied, failed = duplicate(int(fd)) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("cannot copy the socket of %s: %w", of.Addr(), err)
	}
	return os.NewFile(uintptr(copied), of.Addr().String()), nil
}

// duplicate copies a file descriptor; a process that is started meanwhile does not inherit it by chance.
func duplicate(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	copied, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(copied)
	}
	return copied, err
}

// AdoptFor is ListenFor with a socket that another process opened. It closes the file.
func (s Security) AdoptFor(socket *os.File, callers Callers, beneath ...Beneath) (net.Listener, error) {
	defer func() { _ = socket.Close() }()
	adopted, err := net.FileListener(socket)
	if err != nil {
		return nil, fmt.Errorf("cannot adopt socket %s: %w", socket.Name(), err)
	}
	tcp, ok := adopted.(*net.TCPListener)
	if ok {
		err = s.Check(tcp.Addr().String())
	} else {
		err = fmt.Errorf("it is of %s, not of TCP", adopted.Addr().Network())
	}
	if err != nil {
		_ = adopted.Close()
		return nil, fmt.Errorf("cannot adopt socket %s: %w", socket.Name(), err)
	}
	return s.door(tcp, callers, beneath), nil
}

// door makes connections of a socket what they are to be.
func (s Security) door(socket *net.TCPListener, callers Callers, beneath []Beneath) net.Listener {
	door := &listener{Listener: socket, tcp: socket}
	for _, wrap := range beneath {
		door.Listener = wrapped{door.Listener, wrap}
	}
	switch {
	case s.TLS != nil:
		door.Listener = tls.NewListener(door.Listener, s.TLS.server(callers))
	case s.Certificate != nil:
		door.Listener = s.Certificate.listen(door.Listener)
	}
	return door
}
