// Package api is Stead's wire contract: the identifiers, messages, header names and problem codes
// with which control plane, proxies, nodes and clients talk to each other.
//
// It owns shapes and their validation, nothing that runs: no sockets, no clock, no logger. Every
// plane imports it and it imports only the standard library, so it is the one place where the
// planes meet. Integers that travel in JSON stay below 2^53; digests and hash keys travel as hex;
// durations travel as Go duration strings ("2s", "250ms").
package api
