package h2c

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/stead-io/stead/dataplane/socket"
)

// endUnheard has the kernel end a connection whose other side has acknowledged nothing for unheardMax of what it was
// sent, be that octets or the kernel's own question whether it is still there.
func endUnheard(conn net.Conn) error {
	below, ok := socket.Underlying(conn).(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := below.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheardMax.Milliseconds()))
	}); err != nil {
		return err
	}
	return failed
}
