package api

import (
	"fmt"
	"strconv"
	"strings"
)

// TypeEvents is the media type of GET /v1/events (server-sent events).
const TypeEvents = "text/event-stream"

// HeaderSignature proves to a webhook's receiver who sent a delivery: "t=<unix seconds>,v1=<hex>", the
// second being HMAC-SHA256 of "<t>.<body>" under the key that both have.
const HeaderSignature = "Stead-Signature"

// EventKind says what an event tells.
type EventKind string

const (
	// EventChange: something happened to a change: it was recorded, planned, held, settled.
	EventChange EventKind = "change"
	// EventReset: some of what happened after the point asked for is no longer kept. All changes that
	// are kept follow.
	EventReset EventKind = "reset"
)

// Event is one thing that happened to a change, as webhooks get it and clients hand it out.
type Event struct {
	ID      EventID   `json:"id"`
	Kind    EventKind `json:"event"`
	Cluster ClusterID `json:"cluster"`
	Change  *Change   `json:"change,omitempty"` // as it is now, without its want
	Oldest  ChangeID  `json:"oldest,omitempty"` // of a reset: the oldest change kept
}

// EventID names an event and puts all of them in one order that every member shares: by generation, by
// the log entry it happened at, by change. It is written "1-57-12"; without a change, "1-57" is the
// point behind everything that happened at that entry.
type EventID struct {
	Generation uint64
	Index      uint64
	Change     ChangeID
}

// Precedes reports whether an event comes after the id, of the same generation.
func (id EventID) Precedes(event EventID) bool {
	if event.Generation != id.Generation || event.Index != id.Index {
		return event.Generation == id.Generation && event.Index > id.Index
	}
	return id.Change != 0 && event.Change > id.Change
}

// String writes the id as it stands on the wire.
func (id EventID) String() string {
	if id.Change == 0 {
		return fmt.Sprintf("%d-%d", id.Generation, id.Index)
	}
	return fmt.Sprintf("%d-%d-%d", id.Generation, id.Index, id.Change)
}

// ParseEventID reads what String writes.
func ParseEventID(text string) (id EventID, err error) {
	parts := strings.Split(text, "-")
	numbers := make([]uint64, 3)
	if len(parts) != 2 && len(parts) != 3 {
		return EventID{}, fmt.Errorf("event id %q is not <generation>-<index>-<change>", Clip(text))
	}
	for i, part := range parts {
		if numbers[i], err = strconv.ParseUint(part, 10, 53); err != nil || part != strconv.FormatUint(numbers[i], 10) {
			return EventID{}, fmt.Errorf("event id %q is not <generation>-<index>-<change>", Clip(text))
		}
	}
	if len(parts) == 3 && numbers[2] == 0 {
		return EventID{}, fmt.Errorf("event id %q names change 0", Clip(text))
	}
	return EventID{Generation: numbers[0], Index: numbers[1], Change: ChangeID(numbers[2])}, nil
}

// MarshalText implements encoding.TextMarshaler.
func (id EventID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *EventID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseEventID(string(text))
	return err
}
