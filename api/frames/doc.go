// Package frames is the wire of stead-mux/1, the protocol that carries many requests at a time over one
// connection between a proxy and a node: frames, the queue that writes them, and the two directions of a
// stream. docs/mux.md specifies it.
//
// It owns what octets mean, how much either side may send ahead, and in which order frames go out. It does
// not own connections, nor what a request is: proxies open streams and nodes serve them, each in a room of
// its own. Its invariants: a frame has one reading; no stream holds more than its window; a stream that
// stands still holds up no other; what belongs to one stream never reaches another.
package frames
