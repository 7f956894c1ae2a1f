// Package history records what clients did to a store of keys, and decides whether a single copy of each key,
// changed by one operation at a time, could have answered so: whether the history is linearizable
// (Herlihy and Wing 1990), with the search of package porcupine (Lowe 2017).
//
// It owns operations, their journal and the verdicts on them. It knows nothing of HTTP, of clusters or of
// faults. Its invariants: every value that is written is written once; an operation whose outcome is unknown
// stays open for ever; one that was refused is none; a key takes OperationsMax operations and OpenMax
// unanswered ones, then another key is begun, so that every search ends.
package history
