package cluster

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/stead-io/stead/cmd/stead/freeport"
)

// portTries is how many ports are tried for one that is free.
const portTries = 100

// FreeAddress is a loopback address that nobody listens on now.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return FreeAddressOn(t, "127.0.0.1")
}

// FreeAddressOn is a host:port of that host that nobody listens on now. No other test is given it while this
// one runs, in whichever test program, and no outgoing connection takes it.
func FreeAddressOn(t testing.TB, host string) string {
	t.Helper()
	for range portTries {
		port := freeport.Propose()
		address := net.JoinHostPort(host, strconv.Itoa(port))
		if reserve(t, port) && bindable(address) {
			return address
		}
	}
	t.Fatalf("no port of %s is free after %d tries", host, portTries)
	return ""
}

// reserve keeps a port from other tests: a name in the abstract space of Unix sockets has one holder on the
// machine, and goes with its process.
func reserve(t testing.TB, port int) bool {
	holder, err := net.Listen("unix", fmt.Sprintf("@stead-test-port-%d", port))
	if err != nil {
		return false
	}
	t.Cleanup(func() { holder.Close() })
	return true
}

func bindable(address string) bool {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
