// Package transport opens every socket between Stead's processes: one listener constructor and one
// dialer, in the clear or in mutual TLS. It owns the rule that nothing listens beyond loopback
// unprotected unless the operator says so, and who somebody is by a certificate. It owns no protocol,
// and not what anybody may do. Its invariant: with TLS set, nothing is sent or taken in the clear, and
// a connection is with whom it was meant for.
package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// DialTimeout bounds one connection attempt when the context allows more.
const DialTimeout = 3 * time.Second

// Errors of listening.
var (
	// ErrExposed refuses a listener that others than this machine could reach.
	ErrExposed = errors.New("without TLS only loopback addresses are listened on; --tls-cert protects others, --insecure allows them")
	// ErrNoCertificate refuses to listen with a CA alone.
	ErrNoCertificate = errors.New("TLS needs a certificate to listen with, not only a CA")
)

// errClear keeps a misconfigured URL from bypassing TLS.
var errClear = errors.New("this process speaks TLS only; http:// is refused")

// Security says how sockets are protected. The zero value is the safe one: loopback only.
type Security struct {
	// Insecure allows listening on any address in the clear: whoever reaches it can take the cluster.
	Insecure bool
	// TLS protects every connection, whatever the address. Nil: all is in the clear.
	TLS *TLS
	// Certificate is shown to whoever connects to a listener, where those are clients from outside the cluster: they
	// are asked for none. It is for listeners alone, and for those without TLS above.
	Certificate *Certificate
}

// Encrypted reports whether connections to a listener are in TLS.
func (s Security) Encrypted() bool { return s.TLS != nil || s.Certificate != nil }

// Beneath wraps a connection that was accepted, before TLS sees anything of it. Accept waits for it: it must
// not wait for the caller.
type Beneath func(net.Conn) net.Conn

// Listen is ListenFor anybody with a certificate of the cluster, where there is TLS.
func (s Security) Listen(address string, beneath ...Beneath) (net.Listener, error) {
	return s.ListenFor(address, Callers{}, beneath...)
}

// ListenFor opens a TCP listener on host:port; port 0 picks a free one. With TLS its connections are
// *tls.Conn, whose handshake happens at their first use: Accept waits for no caller.
func (s Security) ListenFor(address string, callers Callers, beneath ...Beneath) (net.Listener, error) {
	if err := s.Check(address); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // its sockets take no filter, and a proxy that stops sets one
	socket, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return s.door(socket.(*net.TCPListener), callers, beneath), nil
}

// listener accepts connections, in TLS or not, and knows the socket beneath.
type listener struct {
	net.Listener
	tcp *net.TCPListener
}

// TCP is the socket under a listener of ListenFor; false if the listener is none.
func TCP(of net.Listener) (*net.TCPListener, bool) {
	door, ok := of.(*listener)
	if !ok {
		return nil, false
	}
	return door.tcp, true
}

// wrapped is a listener with something around its connections.
type wrapped struct {
	net.Listener
	wrap Beneath
}

func (w wrapped) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(conn), nil
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
// loopback one unless there is TLS, or Insecure.
func (s Security) Check(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if s.TLS != nil && s.TLS.loaded.Get().certificate == nil {
		return ErrNoCertificate
	}
	if s.Insecure || s.Encrypted() {
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

// Dial connects to host:port over TCP, whichever address family answers. With TLS, the other end must
// be whom the caller expects, and is offered the protocols, if there are any.
func (s Security) Dial(ctx context.Context, address string, expected Identity, protocols ...string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: DialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil || s.TLS == nil {
		return conn, err
	}
	return s.TLS.shake(ctx, conn, expected, protocols)
}

// Scheme is that of the URLs of what is served: http or https.
func (s Security) Scheme() string {
	if s.TLS != nil {
		return "https"
	}
	return "http"
}

// Transport returns an HTTP transport whose connections are those of Dial; limits are the caller's to
// set.
func (s Security) Transport(expected Identity) *http.Transport {
	dial := func(ctx context.Context, _, address string) (net.Conn, error) { return s.Dial(ctx, address, expected) }
	if s.TLS == nil {
		return &http.Transport{DialContext: dial}
	}
	return &http.Transport{
		DialContext:    func(context.Context, string, string) (net.Conn, error) { return nil, errClear },
		DialTLSContext: dial,
	}
}

// TransportH2 is Transport to somebody who speaks HTTP/2 from the first octet on.
func (s Security) TransportH2(expected Identity) *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return s.Dial(ctx, address, expected, ProtocolH2)
	}
	if s.TLS == nil {
		t.DialContext = dial
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	}
	t.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, errClear }
	t.DialTLSContext = dial
	t.Protocols.SetHTTP2(true)
	return t
}

// CheckOwn reports whether this process's certificate is the one it needs to be who it says it is.
func (s Security) CheckOwn(needed Identity) error {
	if s.TLS == nil {
		return nil
	}
	if own := s.TLS.Identity(); !own.fits(needed) {
		return fmt.Errorf("%w: it is for %q, and %q is needed: O=%s, CN=%s", ErrImpostor, own, needed, needed.Role.Organization(), needed.Name)
	}
	return nil
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
