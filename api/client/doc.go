// Package client talks to the control plane: it finds a member that answers, follows the ring, and
// hands back what the contract names.
//
// It owns failover, retries and the long-poll; it keeps no copy of the ring and decides nothing
// about it. Its invariants: every exchange with a member has a deadline and a bound on what it
// reads, and a watcher never hands out a ring that is not newer than the one before, nor one of
// another cluster.
//
// # What is retried
//
// A call goes to the member that answered last. A member that cannot be reached, has no leader, or
// answers what no control plane would, is passed over for the next; after a round over all of them
// the client waits, exponentially longer each time and with full jitter, and begins again.
//
// Writes are repeated like reads, also when the connection broke behind the request or the outcome
// is ambiguous, because every write of this API says what shall be, not what to add: a node drained
// twice is drained, a weight set twice is set, a registration carries the nonce of its process and
// gets the same answer again. Two writes deserve a word: a node that a repeated removal no longer
// finds counts as removed, and a leader transfer without a target may move leadership once more.
package client
