// Package sidecar makes any HTTP server a node of the ring: it registers for it, checks its health,
// guards it and leaves the ring before it is stopped. It can start the server as well.
//
//	proxy ──► sidecar (guard) ──► the service, on loopback
//
// It owns the command it started and the connections to the service; ring, membership and guard are
// nodesvc's. Its invariants: a request reaches the service only while this node holds its slot and
// the health check passes, what passes through is changed as little as HTTP allows, and when the
// command ends, so does the sidecar: whoever supervises it starts both again.
package sidecar
