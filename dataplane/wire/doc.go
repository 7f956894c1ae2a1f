// Package wire is the strict grammar of HTTP/1.1 messages (RFC 9112): the head of a request, the
// head of an answer, and the framing of a chunked body.
//
// It is pure: bytes go in, spans of the same bytes or an error come out; no sockets, no clock, no
// copies. It owns what is well-formed and where a message ends; it does not own what is done about
// it. Its invariant: whatever parses here has exactly one reading, so that two parsers behind each
// other cannot disagree about where a message ends. What leaves a choice to the reader is refused.
package wire
