package ownership

import (
	"slices"

	"github.com/stead-io/stead/api"
)

// Kind is what a proposal does to a configuration. Values are in logs and snapshots: never renumber.
type Kind uint8

const (
	// Expand adds one member that is registered now. By the primary.
	Expand Kind = 10
	// Shrink takes members out of the in-sync set. By the primary.
	Shrink Kind = 11
	// Transfer makes By the primary; the one before may leave. By the target, whom the primary has sealed to.
	Transfer Kind = 12
	// Abort changes nothing but the epoch: it ends a join or a seal. By the primary.
	Abort Kind = 13
	// Promote makes another in-sync member primary because the present one is down; members that are down leave.
	Promote Kind = 14
	// Yield makes another in-sync member primary. By the primary itself, sealed.
	Yield Kind = 15
	// Force makes a registered store the slot's only member whatever it holds. By an operator; it may lose state.
	Force Kind = 16
)

var kindNames = map[Kind]string{
	Expand: "expand", Shrink: "shrink", Transfer: "transfer", Abort: "abort", Promote: "promote", Yield: "yield", Force: "force",
}

func (k Kind) String() string { return kindNames[k] }

// ParseKind reads a kind by name; ok is false for names there are not.
func ParseKind(name string) (kind Kind, ok bool) {
	for kind, known := range kindNames {
		if known == name {
			return kind, true
		}
	}
	return 0, false
}

// Proposal asks for the next configuration of a slot.
type Proposal[M comparable] struct {
	Kind Kind
	By   M         // who proposes; of no meaning for Promote and Force
	Base api.Epoch // the epoch it was made in sight of
	// Primary and ISR are those of the configuration to come.
	Primary M
	ISR     []M
	// Silent, of a Shrink: those that leave did not answer. Otherwise they leave because they are not wanted.
	Silent bool
}

// Facts are what a decision depends on besides the configuration.
type Facts[M comparable] struct {
	Replicas   int          // R
	Registered func(M) bool // it is the store that its node is registered with now
	Up         func(M) bool // its node is not down
	Wanted     func(M) bool // its node is to hold the slot
	// Missing counts the wanted nodes that have no member in a set.
	Missing func(isr []M) int
}

// Refusal says why a proposal does not stand; "" is none. It goes over the wire as part of the answer.
type Refusal string

// Refusals.
const (
	Accepted      Refusal = ""
	StaleEpoch    Refusal = "stale_epoch"    // the configuration has moved on
	NotPrimary    Refusal = "not_primary"    // By may not propose that
	NotInSync     Refusal = "not_in_sync"    // the primary to come is not in sync
	NotRegistered Refusal = "not_registered" // the store to come is not the one its node runs with
	NotUp         Refusal = "not_up"         // the primary to come is down
	NotDown       Refusal = "not_down"       // a member that is up would be taken out
	StillNeeded   Refusal = "still_needed"   // the slot would have fewer copies than it could
	Malformed     Refusal = "malformed"      // the sets are not what such a proposal may change
)

// Decide returns the configuration that a proposal leads to, or the present one and why it does not stand.
func Decide[M comparable](now Config[M], p Proposal[M], facts Facts[M]) (Config[M], Refusal) {
	if p.Base != now.Epoch {
		return now, StaleEpoch
	}
	if refusal := check(now, p, facts); refusal != Accepted {
		return now, refusal
	}
	return Config[M]{Epoch: now.Epoch + 1, Primary: p.Primary, ISR: p.ISR}, Accepted
}

func check[M comparable](now Config[M], p Proposal[M], facts Facts[M]) Refusal {
	next := Config[M]{Primary: p.Primary, ISR: p.ISR}
	if !next.InSync(p.Primary) || !distinct(p.ISR) {
		return Malformed
	}
	switch p.Kind {
	case Expand:
		return checkExpand(now, p, facts)
	case Shrink:
		return checkShrink(now, p, facts)
	case Transfer:
		return checkTransfer(now, p, facts)
	case Abort:
		return first(byPrimary(now, p), when(p.Primary != now.Primary || !same(p.ISR, now.ISR), Malformed))
	case Promote:
		return checkPromote(now, p, facts)
	case Yield:
		return first(byPrimary(now, p), handsOver(now, p, facts), when(!same(p.ISR, now.ISR), Malformed))
	case Force:
		return first(when(len(p.ISR) != 1, Malformed), when(!facts.Registered(p.Primary), NotRegistered))
	default:
		return Malformed
	}
}

func checkExpand[M comparable](now Config[M], p Proposal[M], facts Facts[M]) Refusal {
	added := difference(p.ISR, now.ISR)
	return first(byPrimary(now, p),
		when(p.Primary != now.Primary || len(added) != 1 || !subset(now.ISR, p.ISR), Malformed),
		when(len(added) == 1 && !facts.Registered(added[0]), NotRegistered))
}

func checkShrink[M comparable](now Config[M], p Proposal[M], facts Facts[M]) Refusal {
	if refusal := byPrimary(now, p); refusal != Accepted {
		return refusal
	}
	gone := difference(now.ISR, p.ISR)
	if p.Primary != now.Primary || len(gone) == 0 || !subset(p.ISR, now.ISR) {
		return Malformed
	}
	if p.Silent {
		return Accepted
	}
	for _, m := range gone {
		if facts.Wanted(m) {
			return StillNeeded
		}
	}
	return when(facts.Missing(p.ISR) > 0, StillNeeded)
}

func checkTransfer[M comparable](now Config[M], p Proposal[M], facts Facts[M]) Refusal {
	gone := difference(now.ISR, p.ISR)
	if p.By != p.Primary {
		return NotPrimary
	}
	if refusal := handsOver(now, p, facts); refusal != Accepted {
		return refusal
	}
	if !subset(p.ISR, now.ISR) || len(gone) > 1 || len(gone) == 1 && gone[0] != now.Primary {
		return Malformed
	}
	return when(len(gone) == 1 && (facts.Wanted(now.Primary) || len(p.ISR) < facts.Replicas), StillNeeded)
}

func checkPromote[M comparable](now Config[M], p Proposal[M], facts Facts[M]) Refusal {
	if refusal := handsOver(now, p, facts); refusal != Accepted {
		return refusal
	}
	if !subset(p.ISR, now.ISR) {
		return Malformed
	}
	for _, m := range difference(now.ISR, p.ISR) {
		if facts.Up(m) {
			return NotDown
		}
	}
	return Accepted
}

func byPrimary[M comparable](now Config[M], p Proposal[M]) Refusal {
	return when(p.By != now.Primary || !now.Assigned(), NotPrimary)
}

// handsOver makes sure of the primary to come. It must be up: nobody looks at the slot again for a node that was
// found to be down before it became primary.
func handsOver[M comparable](now Config[M], p Proposal[M], facts Facts[M]) Refusal {
	return first(when(p.Primary == now.Primary, Malformed), when(!now.InSync(p.Primary), NotInSync), when(!facts.Up(p.Primary), NotUp))
}

func difference[M comparable](a, b []M) []M {
	var only []M
	for _, m := range a {
		if !slices.Contains(b, m) {
			only = append(only, m)
		}
	}
	return only
}

func same[M comparable](a, b []M) bool { return len(a) == len(b) && subset(a, b) }

func when(wrong bool, refusal Refusal) Refusal {
	if wrong {
		return refusal
	}
	return Accepted
}

func first(refusals ...Refusal) Refusal {
	for _, refusal := range refusals {
		if refusal != Accepted {
			return refusal
		}
	}
	return Accepted
}
