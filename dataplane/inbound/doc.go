// Package inbound takes requests from clients: it reads one message after another from each connection and
// lets nothing through but what package wire has read. A stream of HTTP/2 is a connection with one message to it.
//
// It reads every octet, refuses what has more than one reading, knows where each message ends, and carries the
// answers. A connection holds a buffer only while there is something of a message. It owns clients' connections and
// their time limits; it does not own what is answered. Its invariant: one well-formed message at a time is
// answered, and a body that ended early is an error to whoever reads it.
package inbound
