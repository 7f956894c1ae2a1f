package api

import (
	"encoding/json"
	"testing"
)

func TestEventIDs(t *testing.T) {
	f := func(text string, want EventID) {
		t.Helper()
		got, err := ParseEventID(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is read as %+v, %v, and written as %q", text, got, err, got)
		}
	}
	f("1-57-12", EventID{1, 57, 12})
	f("2-0", EventID{Generation: 2})
	for _, text := range []string{"", "1", "1-", "-1", "1-2-", "1-2-0", "1-2-3-4", "1-02", "+1-2", "1-9999999999999999999", "a-b"} {
		if got, err := ParseEventID(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
	raw, err := json.Marshal(Event{ID: EventID{1, 5, 2}, Kind: EventReset, Oldest: 3})
	if want := `{"id":"1-5-2","event":"reset","cluster":"","oldest":3}`; err != nil || string(raw) != want {
		t.Errorf("got %s, %v", raw, err)
	}
}

func TestEventOrder(t *testing.T) {
	f := func(id, event string, want bool) {
		t.Helper()
		a, _ := ParseEventID(id)
		b, _ := ParseEventID(event)
		if a.Precedes(b) != want {
			t.Errorf("%s precedes %s: %v", id, event, !want)
		}
	}
	f("1-5-2", "1-5-3", true)
	f("1-5-2", "1-5-2", false)
	f("1-5-3", "1-5-2", false)
	f("1-5-9", "1-6-1", true)
	f("1-6-1", "1-5-9", false)
	f("1-5", "1-5-1", false)
	f("1-4", "1-5-1", true)
	f("1-4", "2-5-1", false)
}
