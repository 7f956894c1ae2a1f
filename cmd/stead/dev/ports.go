package dev

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/stead-io/stead/cmd/stead/freeport"
)

const loopback = "127.0.0.1"

// portTries is how many ports are tried for one that is free wherever it is needed.
const portTries = 50

// ports reserves ports of loopback addresses. It holds each open until release, so none is handed out
// twice and nobody else takes one in between.
type ports struct {
	alwaysFree bool // never the preferred ports
	held       []io.Closer
}

// pick reserves the preferred TCP port if it is free, else some free one, and returns its address.
func (p *ports) pick(preferred int) (address string, err error) {
	addresses, err := p.pickAll([]string{loopback}, preferred, bindTCP)
	if err != nil {
		return "", fmt.Errorf("cannot reserve a port: %w", err)
	}
	return addresses[0], nil
}

// pickBoth reserves a port for TCP and UDP.
func (p *ports) pickBoth(preferred int) (address string, err error) {
	addresses, err := p.pickAll([]string{loopback}, preferred, bindBoth)
	if err != nil {
		return "", fmt.Errorf("cannot reserve a port for UDP and TCP: %w", err)
	}
	return addresses[0], nil
}

// pickCommon reserves one TCP port on every host; it fails where the loopback interface has not all of
// those addresses.
func (p *ports) pickCommon(hosts []string, preferred int) (addresses []string, err error) {
	return p.pickAll(hosts, preferred, bindTCP)
}

// pickAll tries the preferred port, then free ones.
func (p *ports) pickAll(hosts []string, preferred int, bind bind) (addresses []string, err error) {
	if !p.alwaysFree {
		if addresses, err = p.reserve(hosts, preferred, bind); err == nil {
			return addresses, nil
		}
	}
	for range portTries {
		if addresses, err = p.reserve(hosts, freeport.Propose(), bind); err == nil {
			return addresses, nil
		}
	}
	return nil, err
}

// reserve holds one port on every host, or nothing.
func (p *ports) reserve(hosts []string, port int, bind bind) (addresses []string, err error) {
	before := len(p.held)
	for _, host := range hosts {
		held, err := bind(host, port)
		p.held = append(p.held, held...)
		if err != nil {
			taken := &ports{held: p.held[before:]}
			p.held = p.held[:before]
			return nil, errors.Join(err, taken.release())
		}
		addresses = append(addresses, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return addresses, nil
}

// bind opens a port of a host, and returns what holds it open.
type bind func(host string, port int) (held []io.Closer, err error)

func bindTCP(host string, port int) ([]io.Closer, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return []io.Closer{listener}, nil
}

func bindBoth(host string, port int) ([]io.Closer, error) {
	held, err := bindTCP(host, port)
	if err != nil {
		return nil, err
	}
	packets, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return held, err
	}
	return append(held, packets), nil
}

// release closes the ports for their users to open.
func (p *ports) release() error {
	var errs []error
	for _, socket := range p.held {
		errs = append(errs, socket.Close())
	}
	p.held = nil
	return errors.Join(errs...)
}
