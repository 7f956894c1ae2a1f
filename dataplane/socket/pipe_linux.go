//go:build linux && (amd64 || arm64)

package socket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// Bounds of pipes.
const (
	// pipeSize is how many octets a pipe is to hold; pipeSizeLeast, with how many it is of use. The kernel gives
	// small ones to a user who has many.
	pipeSize      = 256 << 10
	pipeSizeLeast = 64 << 10
	// pipesIdleMax is how many pipes that nobody uses are kept.
	pipesIdleMax = 32
)

// Of splice(2) and fcntl(2), where package syscall has no names.
const (
	spliceMove     = 0x1
	spliceNonblock = 0x2
	setPipeSize    = 1031
)

// ErrUnfit: the kernel moves nothing between sockets here. Nothing was moved.
var ErrUnfit = errors.New("the kernel does not splice sockets")

// Pipes lends pipes, through which the kernel moves octets from socket to socket without copying them.
type Pipes struct {
	// Octets counts what came through.
	Octets atomic.Uint64

	mu    sync.Mutex
	idle  []*Pipe
	unfit bool // closed, or of no use on this kernel
}

// NewPipes lends pipes until Close.
func NewPipes() *Pipes { return new(Pipes) }

// Take lends a pipe; nil if none is to be had.
func (p *Pipes) Take() *Pipe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unfit {
		return nil
	}
	if last := len(p.idle) - 1; last >= 0 {
		pipe := p.idle[last]
		p.idle = p.idle[:last]
		return pipe
	}
	pipe, err := newPipe(p)
	if err != nil {
		return nil
	}
	return pipe
}

// Return takes a pipe back. One that still holds octets is not lent again.
func (p *Pipes) Return(pipe *Pipe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pipe.held > 0 || p.unfit || len(p.idle) == pipesIdleMax {
		pipe.close()
		return
	}
	p.idle = append(p.idle, pipe)
}

// Close lends no more, and closes those that nobody uses; the others as they come back.
func (p *Pipes) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unfit = true
	for _, pipe := range p.idle {
		pipe.close()
	}
	p.idle = nil
}

// Pipe holds octets on their way from one socket to another. It is for one goroutine.
type Pipe struct {
	home    *Pipes
	out, in int
	held    int // octets

	most int // of the Fill or Drain under way
	err  error

	fill, drain func(fd uintptr) bool // made once: method values allocate
}

func newPipe(home *Pipes) (*Pipe, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", os.NewSyscallError("pipe2", err))
	}
	p := &Pipe{home: home, out: ends[0], in: ends[1]}
	p.fill, p.drain = p.fillNow, p.drainNow
	if p.size() < pipeSizeLeast {
		p.close()
		return nil, errors.New("cannot make a pipe: the kernel gives none of use")
	}
	return p, nil
}

// size asks for as much room as there should be, and returns how much there is.
func (p *Pipe) size() int {
	for _, want := range []uintptr{pipeSize, pipeSizeLeast} {
		if got, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(p.in), setPipeSize, want); errno == 0 {
			return int(got)
		}
	}
	return 0
}

func (p *Pipe) close() {
	_ = syscall.Close(p.out)
	_ = syscall.Close(p.in)
}

// Held is how many octets are in the pipe.
func (p *Pipe) Held() int { return p.held }

// Fill waits for octets on a socket and moves at most so many into the pipe, which must be empty. Errors are net.Conn's,
// and ErrUnfit.
func (p *Pipe) Fill(from *Socket, most int64) (int, error) {
	p.most, p.err = int(min(most, pipeSize)), nil
	err := from.raw.Read(p.fill)
	if err == nil {
		err = p.err
	}
	return p.held, err
}

func (p *Pipe) fillNow(fd uintptr) bool {
	n, errno := splice(int(fd), p.in, p.most)
	switch {
	case errno == syscall.EAGAIN:
		return false
	case errno == syscall.EINVAL, errno == syscall.ENOSYS, errno == syscall.EPERM:
		p.err = ErrUnfit
		p.home.Close()
	case errno != 0:
		p.err = &net.OpError{Op: "read", Net: "tcp", Err: errno}
	case n == 0:
		p.err = io.EOF
	}
	p.held = n
	return true
}

// Drain moves at most so many of the octets held to a socket. Errors are net.Conn's.
func (p *Pipe) Drain(to *Socket, most int) error {
	p.most, p.err = min(most, p.held), nil
	err := to.raw.Write(p.drain)
	if err == nil {
		err = p.err
	}
	return err
}

func (p *Pipe) drainNow(fd uintptr) bool {
	for p.most > 0 {
		n, errno := splice(p.out, int(fd), p.most)
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			p.err = &net.OpError{Op: "write", Net: "tcp", Err: errno}
			return true
		}
		p.most -= n
		p.held -= n
		p.home.Octets.Add(uint64(n))
	}
	return true
}

// splice does not block, which spares telling Go's scheduler about it.
func splice(from, to, most int) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), spliceMove|spliceNonblock)
		switch errno {
		case syscall.EINTR:
		case 0:
			return int(n), 0
		default:
			return 0, errno
		}
	}
}
