// Package inbound takes requests from clients: fasthttp's server over connections that let nothing
// through but what package wire has read.
//
// fasthttp accepts, pools its workers, paces keep-alive and decodes bodies. Around it stands Conn:
// it reads every octet first and refuses what has more than one reading, keeps each head as it
// was sent, knows where each message ends, and carries the answers, which are written here and not by
// fasthttp. It owns clients' connections and their time limits; it does not own what is answered. Its
// invariant: fasthttp sees one well-formed message at a time, and a body that ended early is an
// error to whoever reads it.
package inbound
