// Package ring is Stead's consistent hashing: keys to slots, slots to replicas, and how that table
// changes.
//
// The 64-bit hash space is a circle cut into 2^k equal arcs, the slots; each ring version stores the
// table from slot to replicas (fixed partitions, the third form in DeCandia et al., "Dynamo", SOSP
// 2007, section 6.2). A lookup is a shift and an array read.
//
// The package is pure: no clock, randomness, file, socket or goroutine. It owns the arithmetic, the
// binary form of the table and its digest, deltas, diffs and the assigner; it does not decide when a
// ring changes. Its invariant: whatever decodes here is whole and consistent, or an error.
package ring
