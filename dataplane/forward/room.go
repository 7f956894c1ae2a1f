package forward

import "sync/atomic"

// Room bounds what many bodies keep together, beyond LoadMax each. One that finds none is not kept, and cannot be sent
// again: clients that hold back the ends of their bodies, however many they are, cost no more than that.
type Room struct {
	most  int64
	taken atomic.Int64
}

// NewRoom makes room for so many octets.
func NewRoom(most int64) *Room { return &Room{most: most} }

// take takes room for n octets; false if there is not as much.
func (r *Room) take(n int) bool {
	if r.taken.Add(int64(n)) <= r.most {
		return true
	}
	r.give(n)
	return false
}

func (r *Room) give(n int) { r.taken.Add(-int64(n)) }

// Taken is how much is taken, in octets.
func (r *Room) Taken() int64 { return r.taken.Load() }
