package origin

import (
	"fmt"
	"net/netip"
	"strings"
)

// Networks are where the proxies are that are believed.
type Networks []netip.Prefix

// ParseNetworks reads networks in CIDR notation; an address is a network of its own.
func ParseNetworks(texts []string) (Networks, error) {
	var networks Networks
	for _, text := range texts {
		prefix, err := parseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("cannot trust %q: it is no network such as 10.0.0.0/8, and no address", text)
		}
		networks = append(networks, prefix)
	}
	return networks, nil
}

// mappedBits is what stands before the IPv4 address in an IPv6 address that maps it (RFC 4291, section 2.5.5.2).
const mappedBits = 96

// parseNetwork reads a network in the form that Contain compares with.
func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if addr := prefix.Addr(); err == nil && addr.Is4In6() && prefix.Bits() >= mappedBits {
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-mappedBits)
		}
		return prefix.Masked(), err
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// Contain reports whether an address, unmapped, is in one of the networks.
func (n Networks) Contain(addr netip.Addr) bool {
	for _, network := range n {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
