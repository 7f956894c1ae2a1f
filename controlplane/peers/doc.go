// Package peers is how control-plane members find each other: who they are, where they are now, and
// whether they found the cluster together.
//
// It owns a member's identity on disk, the directory of members' present addresses, the exchange that
// keeps it fresh, and the decision to bootstrap. It owns nothing that is replicated: Raft knows members
// by id alone and asks here for addresses.
//
// Its invariant: a folder keeps one identity for ever, and an identity that has taken part in a cluster
// never starts again without its log.
package peers
