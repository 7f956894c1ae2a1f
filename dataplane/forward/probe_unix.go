//go:build unix

package forward

import (
	"net"
	"syscall"
)

// probe asks the kernel, without waiting, whether an idle connection has anything to read.
type probe struct {
	socket syscall.RawConn
	octet  [1]byte
	silent bool
	look   func(fd uintptr) bool // made once: a method value allocates
}

func newProbe(socket net.Conn) *probe {
	p := &probe{}
	p.look = p.read
	if underlying, ok := socket.(syscall.Conn); ok {
		if raw, err := underlying.SyscallConn(); err == nil {
			p.socket = raw
		}
	}
	return p
}

// quiet reports that the connection is open and nothing has come on it. What is no plain socket
// cannot be asked and counts as quiet.
func (p *probe) quiet() bool {
	if p.socket == nil {
		return true
	}
	p.silent = false
	err := p.socket.Read(p.look)
	return err == nil && p.silent
}

func (p *probe) read(fd uintptr) bool {
	_, err := syscall.Read(int(fd), p.octet[:])
	p.silent = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	return true
}
