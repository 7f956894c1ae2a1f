package dataplane

import (
	"errors"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/socket"
)

const (
	// pourMin is from how many octets on a body is poured.
	pourMin = 256 << 10
	// pourLast is how many of them are not: the node's connection is free before the client has the end of its answer.
	pourLast = gather
)

// poured is an answer whose body can go from socket to socket; a *forward.Transport's over plain TCP is one.
type poured interface {
	// Rest is how many octets of the body are to come; 0 if they cannot be poured.
	Rest() int64
	// Pour waits for some of them and has no more than most moved to a pipe.
	Pour(into *socket.Pipe, most int64) error
}

// pour has the kernel move the rest of a long body from the node's connection to the client's, where both are plain
// TCP: copying it would cost most of what such an answer costs. What it leaves is to be read as ever.
func (x *exchange) pour(answer forward.Answer) error {
	source, can := answer.(poured)
	if !can || source.Rest() < pourMin || !x.conn.Plain() {
		return nil
	}
	pipe := x.proxy.pipes.Take()
	if pipe == nil {
		return nil
	}
	defer x.proxy.pipes.Return(pipe)
	for answer.Ready() { // it came with the head
		piece, err := answer.Next()
		if err != nil {
			return err
		}
		x.appendPiece(piece, byLength)
	}
	if err := x.flush(); err != nil {
		return err
	}
	for source.Rest() > pourLast {
		err := source.Pour(pipe, source.Rest()-pourLast)
		if errors.Is(err, socket.ErrUnfit) {
			return nil
		}
		if err != nil {
			return err
		}
		moved := int64(pipe.Held())
		if err := x.conn.SendFrom(pipe); err != nil {
			return err
		}
		x.record.sent += moved
	}
	return nil
}
