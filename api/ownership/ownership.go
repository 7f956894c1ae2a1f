// Package ownership holds the decisions of the slot protocol: which configurations of a slot the control
// plane accepts, and what a store may do in each. It is PacificA (Lin et al., 2008) with the control plane as
// configuration manager and one command, compare-and-set.
//
// It is pure: no clock, network or disk takes part, so none of them takes part in safety. The control
// plane's state machine, the nodes, the model checker and the simulation all call the functions here. Whoever
// they speak of is a type parameter: node index and store in the control plane, node and store id on a node,
// a small number in the model.
//
// Invariants, each an assertion in the model and the simulation:
//
//  1. There is one configuration per slot and epoch, changed by compare-and-set alone.
//  2. The primary is in sync; but for Force, a new primary was in sync in the configuration before.
//  3. Every acknowledged write is in the log of every member of the present in-sync set.
//  4. A store that accepted an epoch rejects all lower ones.
//  5. Commits and read confirmations cover isr ∪ pending, which only grows within an epoch.
//  6. A member expands the in-sync set only while pending, with all that is committed acknowledged.
//  7. A sealed primary serves nothing until it learns of a higher epoch.
//  8. A primary that was not primary in the epoch before serves only after the whole in-sync set acknowledged its
//     log in this epoch, and it is applied.
//  9. A restarted process is primary only in epochs made by or after its registration.
//  10. A store deletes a slot only after durably adopting a configuration that excludes it and whose epoch
//     exceeds every epoch in which it acknowledged anything of the slot.
package ownership

import (
	"slices"

	"github.com/stead-io/stead/api"
)

// Config is a slot's configuration in one epoch. The zero primary, with an empty ISR, is nobody.
type Config[M comparable] struct {
	Epoch   api.Epoch
	Primary M
	ISR     []M // in-sync set, the primary among them; the order has no meaning
}

// InSync reports whether m is in the in-sync set.
func (c Config[M]) InSync(m M) bool { return slices.Contains(c.ISR, m) }

// Assigned reports whether anybody holds the slot.
func (c Config[M]) Assigned() bool { return len(c.ISR) > 0 }

// Others are the members of the in-sync set but the primary.
func (c Config[M]) Others() []M { return without(c.ISR, c.Primary) }

func without[M comparable](set []M, m M) []M {
	return slices.DeleteFunc(slices.Clone(set), func(other M) bool { return other == m })
}

// subset reports whether every member of inner is in outer.
func subset[M comparable](inner, outer []M) bool {
	return !slices.ContainsFunc(inner, func(m M) bool { return !slices.Contains(outer, m) })
}

func distinct[M comparable](set []M) bool {
	for i, m := range set {
		if slices.Contains(set[:i], m) {
			return false
		}
	}
	return true
}
