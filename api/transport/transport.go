// Package transport opens every socket between Stead's processes: one listener constructor and one
// dialer. It owns the rule that nothing listens beyond loopback unless the operator says so, and it
// is where mutual TLS goes. It owns no protocol.
package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// DialTimeout bounds one connection attempt when the context allows more.
const DialTimeout = 3 * time.Second

// ErrExposed refuses a listener that others than this machine could reach.
var ErrExposed = errors.New("without TLS only loopback addresses are listened on; --insecure allows others")

// Security says how sockets are protected. The zero value is the safe one: loopback only.
type Security struct {
	// Insecure allows listening on any address in the clear: whoever reaches it can take the cluster.
	Insecure bool
}

// Listen opens a TCP listener on host:port; port 0 picks a free one.
func (s Security) Listen(address string) (net.Listener, error) {
	if err := s.Check(address); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return listener, nil
}

// ListenPacket opens a UDP socket on host:port, by the same rule as Listen.
func (s Security) ListenPacket(address string) (*net.UDPConn, error) {
	if err := s.Check(address); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	local, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	conn, err := net.ListenUDP("udp", local)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return conn, nil
}

// Check reports whether the address may be listened on: every IP its host stands for must be a
// loopback one unless Insecure.
func (s Security) Check(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if s.Insecure {
		return nil
	}
	if host == "" {
		return ErrExposed
	}
	if ip := net.ParseIP(host); ip != nil {
		return onlyLoopback([]net.IP{ip})
	}
	addresses, err := net.LookupIP(host)
	if err != nil {
		return err
	}
	return onlyLoopback(addresses)
}

func onlyLoopback(addresses []net.IP) error {
	for _, ip := range addresses {
		if !ip.IsLoopback() {
			return ErrExposed
		}
	}
	return nil
}

// Dial connects to host:port over TCP, whichever address family answers.
func (s Security) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: DialTimeout}
	return dialer.DialContext(ctx, "tcp", address)
}

// DialNetwork is Dial in the shape that net/http wants.
func (s Security) DialNetwork(ctx context.Context, _, address string) (net.Conn, error) {
	return s.Dial(ctx, address)
}

// ErrNoMachine means that a listen address stands for every address of this machine, and so for none
// that others could be told.
var ErrNoMachine = errors.New("it names no address that others can be told; one to advertise is needed")

// Advertised is the address that others are told: advertise if it is set, else the one listened on, if
// that names a machine.
func Advertised(listen, advertise string) (string, error) {
	if advertise != "" {
		return advertise, nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "", fmt.Errorf("cannot advertise %s: %w", listen, ErrNoMachine)
	}
	return listen, nil
}
