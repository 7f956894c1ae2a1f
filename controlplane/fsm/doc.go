// Package fsm is the control plane's replicated state: what is registered, who holds which slot, and
// how it came to be so.
//
// It is pure. A State is an immutable value; Apply takes one and a command and returns the next. No
// clock, randomness or I/O: the time of a command is the proposer's, clamped so that it never runs
// backwards; sessions are numbered by log index. The planner's results arrive as commands and are
// never recomputed here, so every member ends up with the same bytes whatever version it runs.
//
// It owns registration rules, slot configurations, changes, version history and the snapshot form. It
// does not own liveness (beats never come here, only transitions) nor planning.
//
// Invariants are listed and checked by Check.
package fsm
