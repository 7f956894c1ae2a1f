// Package httpapi is the control API: routes, strict decoding, forwarding to the leader, the ring
// long-poll and its fan-out, problem answers.
//
// It owns HTTP and nothing else. What the state is and how it changes it asks of a Control, which the
// composition root implements. Its invariant: an answer of one ring version is encoded once per
// encoding, however many wait for it.
package httpapi
