// Package h2c carries requests to nodes in HTTP/2 from the first octet on (RFC 9113, section 3.3), many at a time on
// a connection: gRPC servers are such nodes.
//
// It owns connections to these nodes, the two translations of heads and trailers, and what a failure means for whether
// a request may be sent again. It does not own frames and flow control, which are net/http's, nor where a request goes.
// Its invariant: a request that a node may have seen is sent once more only if that does no harm, and a body that was
// cut short is a reset, never an end.
package h2c
