// Package webhooks posts what happens to changes to the URLs an operator named: the leader does, in the
// order of the log, one URL independent of the others, each event again and again until it is taken.
//
// It owns deliveries: signing, timing, retries, how far each receiver has got. It does not own events,
// which are the replicated state's, nor who leads: it runs while its caller leads. Its invariants: no
// event is passed over while history keeps it, none is sent before the one in front of it was taken, and
// a receiver that hangs holds up nobody but itself.
package webhooks
