package fsm

// Size says how much a state remembers beside the ring itself.
type Size struct {
	Changes      int // kept
	Versions     int // whose tables can be rebuilt
	HistoryBytes int // that those versions hold on to
	Results      int // of commands with an idempotency key
}

// Size counts what the state remembers.
func (s *State) Size() Size {
	return Size{Changes: len(s.changes), Versions: len(s.versions.items), HistoryBytes: s.history, Results: len(s.results.items)}
}
