// Package membership decides who takes part in the control plane: which waiting process is taken in, which
// nonvoter gets a vote, who leaves. It is pure: the leader shows it the members as it sees them, and
// carries out one step at a time.
//
// It owns the rules and the measure of who keeps up with the leader. It does not own Raft's
// configuration, nor the intents that operators left in the replicated state.
//
// Its invariant: after each step that it asks for, the voters that live are a majority of all voters,
// and the leader never removes itself.
package membership
