// Package mux is the proxy's end of stead-mux/1: requests to nodes that speak it go over a few connections,
// many at a time; all others go by HTTP/1.1.
//
// It owns which nodes speak it, the connections to those, and the streams on them. The wire is api/frames';
// heads, bodies and the rules of repeating are dataplane/forward's. Its invariants: no request waits for, or
// fails by, finding out what a node speaks; a request is sent twice only if its node had nothing of it, or if
// forward would repeat it; what belongs to one stream never reaches another.
package mux
