package ownership

import (
	"slices"

	"github.com/stead-io/stead/api"
)

// Seq numbers the records of a slot's log from 1.
type Seq uint64

// EpochStart says that the records from Start on, up to the next entry, were appended in Epoch.
type EpochStart struct {
	Epoch api.Epoch
	Start Seq
}

// Role is what a store is in the configuration it adopted.
type Role uint8

const (
	Outside Role = iota // neither in sync nor primary: it may be joining
	Backup
	Primary
)

// RoleIn is the role of a member. since is the state's log index at which its process registered, at the
// index at which the configuration was read: what was read before may have been made for a predecessor,
// and nobody is primary by it.
func RoleIn[M comparable](config Config[M], self M, read, since uint64) Role {
	switch {
	case config.Primary == self && config.InSync(self) && read >= since:
		return Primary
	case config.InSync(self):
		return Backup
	default:
		return Outside
	}
}

// Accepts is what a store does with a message of an epoch.
type Accepts uint8

const (
	Refuse Accepts = iota // it knows a higher epoch, and says so
	Obey                  // it is in that epoch
	Adopt                 // the epoch is news: adopt it durably, then obey
)

// Judge compares the epoch of a message with the one a store has adopted.
func Judge(adopted, offered api.Epoch) Accepts {
	switch {
	case offered < adopted:
		return Refuse
	case offered == adopted:
		return Obey
	default:
		return Adopt
	}
}

// Confirms reports whether a store still is at the epoch that a primary asks about.
func Confirms(adopted, asked api.Epoch) bool { return adopted == asked }

// Need is who, besides the primary, has to acknowledge a record and confirm a read: the in-sync set and all
// that are joining it. A member leaves pending only with its epoch.
func Need[M comparable](config Config[M], pending []M) []M {
	need := config.Others()
	for _, m := range pending {
		if m != config.Primary && !slices.Contains(need, m) {
			need = append(need, m)
		}
	}
	return need
}

// Committed is the highest record that all in need, and the primary itself, have made durable. It never is
// below commit, which was reached before.
func Committed[M comparable](commit, durable Seq, need []M, acked func(M) (Seq, bool)) Seq {
	reached := durable
	for _, m := range need {
		seq, known := acked(m)
		if !known {
			return commit
		}
		reached = min(reached, seq)
	}
	return max(commit, reached)
}

// MayOpen reports whether a primary may serve: every other member of the in-sync set has acknowledged its
// whole log in this epoch, and it has applied it. last is where its log ended when it adopted the epoch.
func MayOpen[M comparable](config Config[M], last, durable, applied Seq, acked func(M) (Seq, bool)) bool {
	if durable < last || applied < last {
		return false
	}
	for _, m := range config.Others() {
		if seq, known := acked(m); !known || seq < last {
			return false
		}
	}
	return true
}

// Continues reports whether a primary that serves goes on serving as its next epoch begins, instead of opening
// anew: nobody was primary in between, so what it has applied and appended is what there is. What it completes
// from then on needs acknowledgements and confirmations of the new epoch.
func Continues[M comparable](was, next Config[M]) bool {
	return was.Primary == next.Primary && was.Epoch+1 == next.Epoch
}

// MayExpand reports whether a joining member may be proposed for the in-sync set: it is pending, and has
// acknowledged all that is committed.
func MayExpand[M comparable](m M, pending []M, commit Seq, acked func(M) (Seq, bool)) bool {
	seq, known := acked(m)
	return slices.Contains(pending, m) && known && seq >= commit
}

// MaySeal reports whether a primary may promise to serve no more, to a member that is to take over: that
// member and all the others have everything there is.
func MaySeal[M comparable](config Config[M], to M, pending []M, last, commit Seq, acked func(M) (Seq, bool)) bool {
	seq, known := acked(to)
	return to != config.Primary && config.InSync(to) && known && seq == last && commit == last && len(pending) == 0
}

// MayTransfer reports whether the member that a primary sealed to may take over: its log ends where the seal
// says, in the same epoch.
func MayTransfer(adopted, sealed api.Epoch, durable, sealedAt Seq) bool {
	return adopted == sealed && durable == sealedAt
}

// MayDelete reports whether a store may delete what it has of a slot. acked is the highest epoch in which it
// acknowledged anything of it.
func MayDelete[M comparable](config Config[M], self M, wanted bool, acked api.Epoch) bool {
	return !config.InSync(self) && !wanted && config.Epoch > acked
}

// CommonPrefix is the last record that two logs surely share. A log that lists an epoch was, up to that
// epoch's end, a prefix of the log of its primary; so where two logs list one epoch, both are.
func CommonPrefix(mine []EpochStart, mineLast Seq, theirs []EpochStart, theirsLast Seq) Seq {
	for i := len(mine) - 1; i >= 0; i-- {
		for j := len(theirs) - 1; j >= 0; j-- {
			if theirs[j].Epoch == mine[i].Epoch {
				return min(endOf(mine, i, mineLast), endOf(theirs, j, theirsLast))
			}
		}
	}
	return 0
}

// endOf is the last record of the i-th epoch of a log, as far as it is there.
func endOf(history []EpochStart, i int, last Seq) Seq {
	if i+1 < len(history) {
		return min(last, history[i+1].Start-1)
	}
	return last
}

// Truncated is the history of a primary whose log ends at last, continued by the epoch that begins after it.
// An epoch without records is left out. A backup takes over its primary's history whole.
func Truncated(history []EpochStart, last Seq, epoch api.Epoch) []EpochStart {
	kept := slices.Clone(history)
	for len(kept) > 0 && kept[len(kept)-1].Start > last {
		kept = kept[:len(kept)-1]
	}
	if len(kept) > 0 && kept[len(kept)-1].Epoch == epoch {
		return kept
	}
	return append(kept, EpochStart{Epoch: epoch, Start: last + 1})
}
