// Package h2 takes requests from clients in HTTP/2 (RFC 9113) and makes each stream look like a connection in
// HTTP/1.1 that carries one message: what reads requests from clients reads these too, and what refuses, limits,
// routes and answers them is the same.
//
// It owns the two translations, of a request's head and body to octets of HTTP/1.1 and of an answer's back, and the
// time limits of a stream. It does not own frames, flow control and the bounds on them: they are net/http's. Its
// invariant: what it makes of a stream is at most one request, with that stream's method, target and fields and no
// others; and an answer that was cut short is a reset, never an end.
package h2
