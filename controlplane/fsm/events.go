package fsm

import (
	"cmp"
	"slices"

	"github.com/stead-io/stead/api"
)

// What may be kept of webhooks, and how long the name of one may be.
const (
	deliveriesKept = 64
	webhookNameMax = 64
)

// EventsLevel is the level from which on changes are dated, and so there are events.
const EventsLevel = 2

// Delivered records how far a webhook was served, so that the next leader goes on from there.
type Delivered struct {
	Webhook string `json:"webhook"` // digest of its URL
	Index   uint64 `json:"index"`   // every event at log entries up to this one was taken
}

func (Delivered) commandType() CommandType { return TypeDelivered }

// Delivery is a webhook's place in the events.
type Delivery struct {
	Webhook string `json:"webhook"`
	Index   uint64 `json:"index"`
}

// Now is the point behind everything that has happened.
func (s *State) Now() api.EventID {
	return api.EventID{Generation: s.Generation, Index: s.Index}
}

// Events lists the changes that something happened to after a point, as they are now, in the order in
// which the last of it happened. EventID names them.
func (s *State) Events(after api.EventID) []*Change {
	var news []*Change
	for _, change := range s.changes {
		if change.Updated > 0 && after.Precedes(s.EventID(change)) {
			news = append(news, change)
		}
	}
	slices.SortFunc(news, func(a, b *Change) int {
		return cmp.Or(cmp.Compare(a.Updated, b.Updated), cmp.Compare(a.ID, b.ID))
	})
	return news
}

// EventID names the last thing that happened to a change.
func (s *State) EventID(change *Change) api.EventID {
	return api.EventID{Generation: s.Generation, Index: change.Updated, Change: change.ID}
}

// EventsGone reports whether something that happened after a point is no longer kept.
func (s *State) EventsGone(after api.EventID) bool {
	return after.Generation != s.Generation || after.Index < s.forgotten
}

// Forgotten is the last log entry at which something happened to a change that is no longer kept.
func (s *State) Forgotten() uint64 { return s.forgotten }

// Delivery is a webhook's place, false if it never had one.
func (s *State) Delivery(webhook string) (uint64, bool) {
	for _, known := range s.deliveries {
		if known.Webhook == webhook {
			return known.Index, true
		}
	}
	return 0, false
}

// Deliveries lists the webhooks' places.
func (s *State) Deliveries() []Delivery { return s.deliveries }

// delivered moves a webhook's place forward. Beyond the most that are kept, the one that lags furthest
// is forgotten.
func (d *draft) delivered(command Delivered) *api.Problem {
	if command.Webhook == "" || len(command.Webhook) > webhookNameMax || command.Index > d.state.Index {
		return api.NewProblem(api.CodeInvalid, "no webhook can stand there")
	}
	var next []Delivery
	for _, known := range d.state.deliveries {
		if known.Webhook != command.Webhook {
			next = append(next, known)
		} else if known.Index >= command.Index {
			return nil
		}
	}
	next = append(next, Delivery(command))
	if len(next) > deliveriesKept {
		furthest := slices.MinFunc(next, func(a, b Delivery) int { return cmp.Compare(a.Index, b.Index) })
		next = slices.DeleteFunc(next, func(known Delivery) bool { return known == furthest })
	}
	d.state.deliveries = next
	return nil
}
