// Package kv is Stead's reference service: a key-value store over HTTP, on disk or in memory, built
// on package nodesvc like any other service.
//
//	PUT    /kv/{name}    store the body; 201 when the entry is new, 204 when it was replaced
//	GET    /kv/{name}    the value, with its Content-Type and ETag; HEAD likewise
//	DELETE /kv/{name}    204; 404 when there is no entry
//	GET    /v1/slots     the slots this node is primary of, with their epochs
//	GET    /livez /readyz /metrics
//
// An entry is named by two byte strings: the sharding key, which the proxy found and the guard
// checked, and the name, the one path segment behind /kv/ percent-decoded once. Two requests with
// the same path and different sharding keys therefore mean different entries.
//
// Every write gets a fresh strong ETag, which never stands for another write again, on this node or
// any other, before or after a restart; a write of the same octets gets a new one too. If-Match and
// If-None-Match follow RFC 9110, section 13, and are decided together with the write, so of several
// writers with the same condition one at most succeeds. A write with an Idempotency-Key is carried out
// once: repeated with the same sharding key, it gets the answer that the first one got, for a day, as long
// as its slot has not seen 10,000 others since.
//
// The package owns entries and how they are stored; membership, ownership and replication are nodesvc's.
// A write is decided on the primary, with its key locked; what it decided, the new ETag included, is the
// record, so that every replica comes to the same state and writes the same snapshot. Its invariants: a
// write is answered only when it is on the disk of every replica in sync, a reader never sees a write that
// a crash could still undo, a body that broke off stores nothing, and after a storage error nothing is
// served any more.
package kv
