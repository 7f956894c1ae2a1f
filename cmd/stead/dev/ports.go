package dev

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

const loopback = "127.0.0.1"

// ports reserves TCP ports of the loopback address. It holds each open until release, so none is
// handed out twice and nobody else takes one in between.
type ports struct {
	alwaysFree bool // never the preferred ports
	held       []net.Listener
}

// pick reserves the preferred port if it is free, else some free one, and returns its address.
func (p *ports) pick(preferred int) (address string, err error) {
	var listener net.Listener
	if !p.alwaysFree {
		listener, err = net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(preferred)))
	}
	if listener == nil {
		listener, err = net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	}
	if err != nil {
		return "", fmt.Errorf("cannot reserve a port: %w", err)
	}
	p.held = append(p.held, listener)
	return listener.Addr().String(), nil
}

// release closes the ports for their users to open.
func (p *ports) release() error {
	var errs []error
	for _, listener := range p.held {
		errs = append(errs, listener.Close())
	}
	p.held = nil
	return errors.Join(errs...)
}
