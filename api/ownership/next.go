package ownership

import "slices"

// Act is what a primary does next towards the replicas that are wanted.
type Act uint8

const (
	Rest     Act = iota // nothing to do, or something is under way
	CopyTo              // bring a member up to date that is not in sync
	JoinIt              // add a member that caught up to pending
	Propose             // ask the control plane for Step.Kind
	HandOver            // drain, seal and transfer to a member in sync
)

// Step is the next step of a slot's primary.
type Step[M comparable] struct {
	Act    Act
	Member M    // of CopyTo, JoinIt and HandOver
	Kind   Kind // of Propose: Expand, Shrink or Abort
	ISR    []M  // of Propose
	Silent bool // of a Shrink
}

// Standing is how a member looks to the primary.
type Standing struct {
	Up       bool // its node is not down, and runs with this store
	Silent   bool // it owes an answer for longer than it may
	CaughtUp bool // its log is so close behind that joining costs nobody time
	Blocked  bool // it refused to take the slot
	Leaving  bool // its process is about to stop, and hands over what it is primary of
	Acked    Seq
	Known    bool // Acked is of this epoch
}

// View is what a primary's next step depends on.
type View[M comparable] struct {
	Config  Config[M]
	Want    []M // the stores that the wanted nodes run with, the primary to be first; those without are left out
	Missing int // wanted nodes without a store
	Pending []M
	Commit  Seq
	Of      func(M) Standing
}

// Next is the next step of an open primary. Failures come first, then missing copies, then the move of the
// primary, and what nobody wants is dropped last.
func Next[M comparable](v View[M]) Step[M] {
	if silent := v.silent(v.Config.Others()); len(silent) > 0 {
		return Step[M]{Act: Propose, Kind: Shrink, ISR: difference(v.Config.ISR, silent), Silent: true}
	}
	if slices.ContainsFunc(v.Pending, v.hopeless) {
		return Step[M]{Act: Propose, Kind: Abort, ISR: v.Config.ISR}
	}
	if step, found := v.fill(); found {
		return step
	}
	if heir, found := v.heir(); found {
		return Step[M]{Act: HandOver, Member: heir}
	}
	return v.dropUnwanted()
}

// fill brings the first wanted member that is missing a step closer.
func (v View[M]) fill() (Step[M], bool) {
	for _, m := range v.Want {
		is := v.Of(m)
		if v.Config.InSync(m) || !is.Up || is.Blocked || is.Silent {
			continue
		}
		acked := func(m M) (Seq, bool) { is := v.Of(m); return is.Acked, is.Known }
		switch {
		case MayExpand(m, v.Pending, v.Commit, acked):
			return Step[M]{Act: Propose, Kind: Expand, Member: m, ISR: append(slices.Clone(v.Config.ISR), m)}, true
		case slices.Contains(v.Pending, m):
			return Step[M]{Act: Rest}, true
		case is.CaughtUp:
			return Step[M]{Act: JoinIt, Member: m}, true
		default:
			return Step[M]{Act: CopyTo, Member: m}, true
		}
	}
	return Step[M]{}, false
}

// heir is the member that should be primary instead of the present one: the first wanted that could be.
func (v View[M]) heir() (heir M, found bool) {
	for _, m := range v.Want {
		if m == v.Config.Primary {
			return heir, false
		}
		if is := v.Of(m); v.Config.InSync(m) && is.Up && is.Known && !is.Silent && !is.Leaving {
			return m, true
		}
	}
	return heir, false
}

// dropUnwanted takes out members that nobody wants, once all that are wanted are in.
func (v View[M]) dropUnwanted() Step[M] {
	keep := []M{v.Config.Primary}
	for _, m := range v.Config.Others() {
		if !v.unwanted(m) {
			keep = append(keep, m)
		}
	}
	if len(keep) == len(v.Config.ISR) || v.Missing > 0 || !subset(v.Want, v.Config.ISR) {
		return Step[M]{Act: Rest}
	}
	return Step[M]{Act: Propose, Kind: Shrink, ISR: keep}
}

// hopeless reports whether a join cannot end well: who stays pending keeps the slot from being handed over.
func (v View[M]) hopeless(m M) bool {
	is := v.Of(m)
	return !is.Up || is.Silent || is.Blocked || v.unwanted(m)
}

func (v View[M]) unwanted(m M) bool { return !slices.Contains(v.Want, m) }

func (v View[M]) silent(members []M) []M {
	return slices.DeleteFunc(slices.Clone(members), func(m M) bool { return !v.Of(m).Silent })
}
