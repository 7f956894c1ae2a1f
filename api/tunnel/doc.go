// Package tunnel carries the octets of a connection that changed protocols (RFC 9110, section 7.8): those of a
// client to a node, and back, until one of them ends it, nothing moves for too long, or the process has a reason to.
//
// It owns what proxies and sidecars share of that: which protocols may be asked for, the two streams, half-closed
// ones too, and, where the protocol is WebSocket, the frames towards the client, so that an end from the middle is
// told between two of them. It owns neither the handshake nor the reason. Its invariants: octets arrive in order or
// not at all, each direction holds no more of them than one buffer, and once Run has returned nothing more reaches
// the node.
package tunnel
