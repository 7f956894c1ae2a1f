package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

func TestDuration(t *testing.T) {
	f := func(text string, want time.Duration, written string) {
		t.Helper()
		var d api.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %v, %v", text, d, err)
		}
		if raw, err := json.Marshal(d); err != nil || string(raw) != written {
			t.Errorf("%s: written as %s, %v", text, raw, err)
		}
	}
	f(`"2s"`, 2*time.Second, `"2s"`)
	f(`"250ms"`, 250*time.Millisecond, `"250ms"`)
	f(`"90m"`, 90*time.Minute, `"1h30m0s"`)
	f(`"0"`, 0, `"0s"`)
	f(`"-1s"`, -time.Second, `"-1s"`)
}

func TestDurationRefuses(t *testing.T) {
	for _, text := range []string{`2`, `"2"`, `""`, `"2 s"`, `true`, `{}`, `"1y"`} {
		var d api.Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was read as %v", text, d)
		}
	}
}
