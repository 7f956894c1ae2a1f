// Package dns answers DNS for the proxies: who asks for the service's name gets the addresses of those
// that live.
//
// It owns the zone, its answers and the two sockets, and is the only importer of miekg/dns. Who lives
// it does not decide: it answers from the roster that the leader told every member last (package
// controlplane), without a leader too. It is an authoritative server for one small zone; it resolves
// nothing, transfers nothing and takes no updates.
//
// Its invariants: what comes in is answered or dropped, whatever it is, with work that is bounded by
// constants; a zone never changes once it is made; nothing is answered before a roster is known, for
// "there is no such name" would be believed.
package dns
