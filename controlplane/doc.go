// Package controlplane is the composition root of a control-plane member: Config in, a running Member
// out. It wires identity, Raft, the state machine, the leader's duties and the API, and owns nothing
// that one of those could.
package controlplane
