package replication

import "github.com/stead-io/stead/api/ownership"

// A store may be made primary while it deletes what it had of the slot, or puts a copy in its place: by an operator
// who forces the slot to it, or by the control plane, which knows nothing of that work. Its reign begins after it.

// appointed reports whether the newest configuration makes the store primary.
func (s *slot) appointed() bool {
	role := ownership.RoleIn(s.config, s.engine.config.Self, s.read, s.engine.since())
	return !s.recovering && role == ownership.Primary && s.config.Epoch >= s.meta.Adopted
}

// changing reports whether what the store has of the slot is being deleted, or replaced by a copy. No reign begins
// meanwhile: it would serve part of a state as if it were whole.
func (s *slot) changing() bool { return s.releasing || s.incoming != nil && s.incoming.restoring }

// resume begins a reign that waited for the slot's state to be one again: whole, or none. The slot is locked.
func (s *slot) resume() {
	if s.lead == nil && s.appointed() && !s.changing() && !s.engine.former(s.config.Epoch) && s.engine.Err() == nil {
		s.reignIn(s.config)
		s.engine.attend(s)
	}
}
