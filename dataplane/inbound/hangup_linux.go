package inbound

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// hangups are told by the kernel when a client closes its side (epoll's RDHUP), whether or not there are octets
// of it that nobody has read: nothing is read for it.
type hangups struct {
	file *os.File // of an epoll instance
	raw  syscall.RawConn

	mu      sync.Mutex
	watched map[int32]*Conn // by token: numbers of sockets are used again
	last    int32
}

func newHangups() (*hangups, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make an epoll instance: %w", err)
	}
	_ = unix.SetNonblock(fd, true) // so that Go's own poller waits for it
	h := &hangups{file: os.NewFile(uintptr(fd), "hangups"), watched: make(map[int32]*Conn)}
	if h.raw, err = h.file.SyscallConn(); err != nil {
		_ = h.file.Close()
		return nil, fmt.Errorf("cannot wait for an epoll instance: %w", err)
	}
	return h, nil
}

// add has a connection watched until it is closed. What is no plain socket underneath is not.
func (h *hangups) add(conn *Conn) {
	raw, err := rawSocket(conn)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.last = max(h.last+1, 1)
	token := h.last
	h.watched[token] = conn
	h.mu.Unlock()
	conn.leaving.token.Store(token)
	err = raw.Control(func(fd uintptr) {
		event := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: token}
		_ = h.raw.Control(func(epoll uintptr) { err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, int(fd), &event) })
	})
	if err != nil { // it has been closed
		h.remove(conn)
	}
}

func rawSocket(conn *Conn) (syscall.RawConn, error) {
	plain, ok := conn.socket().(syscall.Conn)
	if !ok {
		return nil, syscall.ENOTSUP
	}
	return plain.SyscallConn()
}

// remove forgets a connection that is closed: the kernel does so by itself.
func (h *hangups) remove(conn *Conn) {
	token := conn.leaving.token.Load()
	if h == nil || token == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watched, token)
}

// run tells connections of their clients until close.
func (h *hangups) run() {
	var events [64]unix.EpollEvent
	for {
		n := 0
		err := h.raw.Read(func(epoll uintptr) bool {
			n, _ = unix.EpollWait(int(epoll), events[:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, event := range events[:n] {
			h.mu.Lock()
			conn := h.watched[event.Fd]
			h.mu.Unlock()
			if conn != nil {
				conn.hangUp()
			}
		}
	}
}

func (h *hangups) close() { _ = h.file.Close() }
