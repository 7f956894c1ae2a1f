// Package client talks to the control plane: it finds a member that answers, follows the ring, and
// hands back what the contract names.
//
// It owns failover, retries and the long-poll; it keeps no copy of the ring and decides nothing
// about it. Its invariants: every exchange with a member has a deadline and a bound on what it
// reads, and a watcher never hands out a ring that is not newer than the one before, nor one of
// another cluster once there were nodes in its own.
//
// # What is retried
//
// A call goes to the member that answered last. A member that cannot be reached, has no leader, or
// answers what no control plane would, is passed over for the next; after a round over all of them
// the client waits, exponentially longer each time and with full jitter, and begins again.
//
// Writes are repeated like reads, also when the connection broke behind the request or the outcome
// is ambiguous: an operator's write carries an Idempotency-Key, under which the cluster carries it out
// once and answers every repetition with what came of it; a registration carries the nonce of its
// process instead. A cluster at level 1 knows no keys; there every write says what shall be, not what to
// add, so a repetition does no harm, and a node that a repeated removal no longer finds counts as
// removed. A leader transfer without a target may move leadership once more.
package client
