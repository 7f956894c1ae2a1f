// Package freeport proposes ports for servers whose user has not named any. It proposes none of those that
// the kernel gives to outgoing connections, as long as those leave room: between the moment a port is chosen and
// the moment its server listens, any connection on the machine could take such a port, and the server could not
// start. It does not bind anything: whether a port is free its user finds out.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"os"
)

const (
	// lowest is above the ports that services are known by.
	lowest = 10_000
	// outgoingLowest is where the ports of outgoing connections begin on systems that do not say: by
	// RFC 6335 at 49152, on Linux unless configured otherwise at 32768.
	outgoingLowest = 32_768
	// span is the fewest ports to choose among.
	span = 1_000
)

// rangeFile says which ports Linux gives to outgoing connections: the lowest and the highest.
const rangeFile = "/proc/sys/net/ipv4/ip_local_port_range"

// Propose returns a port that may be free: the caller binds it, or asks again.
func Propose() int {
	limit := outgoingLowest
	if content, err := os.ReadFile(rangeFile); err == nil {
		limit = parse(string(content))
	}
	return lowest + rand.IntN(limit-lowest)
}

// parse returns the lowest port of outgoing connections, or the usual one where that leaves no room.
func parse(content string) int {
	var first, last int
	if _, err := fmt.Sscan(content, &first, &last); err != nil || first < lowest+span {
		return outgoingLowest
	}
	return min(first, 65_536)
}
