//go:build !linux

package peer

import "net"

// tune does nothing: urgent frames wait for what the kernel holds.
func tune(net.Conn) {}
