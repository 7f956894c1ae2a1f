//go:build !linux || !(amd64 || arm64)

package socket

import (
	"errors"
	"sync/atomic"
)

// ErrUnfit: the kernel moves nothing between sockets here.
var ErrUnfit = errors.New("this system does not splice sockets")

// Pipes lends none here.
type Pipes struct{ Octets atomic.Uint64 }

// NewPipes lends none here.
func NewPipes() *Pipes { return new(Pipes) }

// Take lends none here.
func (*Pipes) Take() *Pipe { return nil }

func (*Pipes) Return(*Pipe) { panic("no pipe was lent") }

// Close has nothing to close.
func (*Pipes) Close() {}

// Pipe is for systems whose calls are known here.
type Pipe struct{}

func (*Pipe) Held() int { panic("no pipe was lent") }

func (*Pipe) Fill(from *Socket, most int64) (int, error) { panic("no pipe was lent") }

func (*Pipe) Drain(to *Socket, most int) error { panic("no pipe was lent") }
