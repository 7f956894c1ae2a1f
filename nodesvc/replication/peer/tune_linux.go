package peer

import (
	"net"
	"syscall"
)

const (
	unsentMax       = 128 << 10 // bytes
	tcpNotSentLowAt = 25        // TCP_NOTSENT_LOWAT of linux/tcp.h
)

// tune keeps what cannot be sent yet in the queue, where urgent frames pass bulk, rather than in the kernel, where
// they cannot. Without it a link works as well, with longer delays beside bulk.
func tune(conn net.Conn) {
	tcp, is := innermost(conn).(*net.TCPConn)
	if !is {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, unsentMax)
	})
}
