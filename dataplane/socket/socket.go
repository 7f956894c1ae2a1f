// Package socket moves octets through plain TCP connections with as few kernel calls as Go's poller allows.
//
// net.Conn tries to read before it waits, and again behind the wait: where something is yet to come, the first
// try is for nothing. It needs a buffer while it waits, too. A Socket takes its buffer when there is something to
// put there, and sends a request only after it stands ready to be woken by its answer. Long bodies go by a Pipe, in
// which the kernel moves them from one socket to another (splice(2)). It owns no connection: deadlines, closing and
// whatever is not hot stay with the net.Conn. Its invariants: between a look at the connection that found nothing and
// the wait for more nothing can come unnoticed; what is left in a pipe reaches no other connection.
package socket

import (
	"net"
	"sync"
)

// Buffers lends buffers of one size.
type Buffers struct {
	size int
	pool sync.Pool
}

// NewBuffers lends buffers of so many octets.
func NewBuffers(size int) *Buffers {
	b := &Buffers{size: size}
	b.pool.New = func() any {
		buffer := make([]byte, size)
		return &buffer
	}
	return b
}

// Take lends a buffer.
func (b *Buffers) Take() *[]byte { return b.pool.Get().(*[]byte) }

// Return takes a buffer back.
func (b *Buffers) Return(buffer *[]byte) { b.pool.Put(buffer) }

// Sent is what became of a request that Ask sent.
type Sent struct {
	// Stale: something had come before the request was sent, which therefore was not.
	Stale bool
	// Written octets of the request went out. If they are not all, nothing was read: the rest is for the net.Conn.
	Written int
	// Read octets of the answer came, to a buffer that the caller returns; nil if none did.
	Read   int
	Buffer *[]byte
}

// Underlying is the socket that a connection in TLS goes over; any other connection is its own.
func Underlying(conn net.Conn) net.Conn {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return secured.NetConn()
	}
	return conn
}
