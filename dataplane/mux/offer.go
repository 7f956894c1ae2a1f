package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/frames"
	"github.com/stead-io/stead/dataplane/wire"
)

// answerMax bounds the head of the answer to an offer.
const answerMax = 8 << 10

// errDeclined: the node speaks HTTP/1.1 and not stead-mux.
var errDeclined = errors.New("the node declined to upgrade")

// dial connects to the node, and has the connection upgraded.
func (n *node) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(n.home.ctx, offerTimeout)
	defer cancel()
	socket, err := n.home.config.Dial(ctx, n.target)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", n.target.Address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	before, err := upgrade(socket, n.target.Address)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	l := newLink(socket, frames.NewReader(socket, before))
	hello, err := l.reader.Next()
	switch {
	case err == nil && hello.Type != frames.TypeHello:
		err = errHello
	case err == nil && !stop():
		err = ctx.Err() // the deadline is, or will be, in the past
	}
	if err != nil {
		l.fail(err)
		return nil, fmt.Errorf("cannot agree with %s: %w", n.target.Address, err)
	}
	l.greet(hello.Limits)
	return l, nil
}

// upgrade asks, and returns what was read behind the answer.
func upgrade(socket net.Conn, address string) (before []byte, err error) {
	request := "GET " + frames.Path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: " + frames.Protocol +
		"\r\n" + api.HeaderMux + ": 1\r\n\r\n"
	if _, err := io.WriteString(socket, request); err != nil {
		return nil, fmt.Errorf("cannot offer to upgrade: %w", err)
	}
	buffer := make([]byte, answerMax)
	end, length := 0, 0
	for length == 0 {
		if end == len(buffer) {
			return nil, errDeclined
		}
		n, err := socket.Read(buffer[end:])
		if end += n; n == 0 && err != nil {
			return nil, fmt.Errorf("cannot read the answer to the offer: %w", err)
		}
		length = wire.HeadLength(buffer[:end])
	}
	if !agrees(buffer[:length]) {
		return nil, errDeclined
	}
	return buffer[length:end], nil
}

func agrees(head []byte) bool {
	var answer wire.Answer
	if answer.Parse(head) != nil || answer.Status != 101 {
		return false
	}
	for i := range answer.Fields {
		if field := &answer.Fields[i]; field.Kind == wire.Upgrade {
			return wire.EqualFold(field.Value, frames.Protocol)
		}
	}
	return false
}
