package api

import (
	"fmt"
	"strings"
)

// SchemeH2C begins the address of a node that is spoken to in HTTP/2 from the first octet on, as gRPC servers are:
// h2c://host:port. An address without it is of a node that speaks HTTP/1.1.
const SchemeH2C = "h2c://"

// CutH2C is the host:port of a node's address, and whether the node is spoken to in HTTP/2.
func CutH2C(address string) (hostPort string, h2c bool) { return strings.CutPrefix(address, SchemeH2C) }

// HostPort is the host:port of a node's address: what is dialled.
func HostPort(address string) string {
	hostPort, _ := CutH2C(address)
	return hostPort
}

// ValidateNodeAddress reports whether an address is one of a node: host:port as ValidateAddress has it, or that
// behind SchemeH2C.
func ValidateNodeAddress(address string) error {
	if len(address) > AddressMax {
		return fmt.Errorf("address %q is longer than %d bytes", Clip(address), AddressMax)
	}
	return ValidateAddress(HostPort(address))
}
