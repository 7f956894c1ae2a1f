// Package forward carries requests to nodes: composed heads, bodies that can be replayed, and an
// HTTP/1.1 transport over pooled connections.
//
// It owns what goes out on a connection to a node and what is taken back from it: which header
// fields pass, framing in both directions, when a connection is used again, and when a request may
// be sent a second time. It does not own where a request goes: it dials the address it is handed,
// nothing that a request names. Its invariant: a body that was cut short never looks complete to
// the other side, and a connection that carried anything unexpected carries nothing more.
package forward
