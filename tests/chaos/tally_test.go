package chaos

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func full(elapsed time.Duration, rounds int) Tally {
	t := NewTally(1, "managed", 2)
	t.Elapsed, t.Acks, t.Moves, t.Seconds, t.Served = elapsed, 100_000, 2_000, 3_000, 2_850
	for _, fault := range Faults {
		t.Faults[fault] = rounds
	}
	return t
}

// TestVacuous: a run counts only with enough of everything.
func TestVacuous(t *testing.T) {
	f := func(want string, tally Tally) {
		t.Helper()
		got := strings.Join(tally.Vacuous(true), "; ")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	with := func(change func(*Tally)) Tally {
		tally := full(time.Hour, 40)
		change(&tally)
		return tally
	}
	f("", full(time.Hour, 40))
	f("", full(time.Minute, 1))
	f("39 kill", with(func(t *Tally) { t.Faults[Kill] = 39 }))
	f("0 disk-full", with(func(t *Tally) { delete(t.Faults, DiskFull) }))
	f("acknowledged", with(func(t *Tally) { t.Acks-- }))
	f("moves of slots", with(func(t *Tally) { t.Moves-- }))
	f("2849 of 3000 seconds", with(func(t *Tally) { t.Served-- }))
	f("0 of 0 seconds", with(func(t *Tally) { t.Seconds, t.Served = 0, 0 }))
	f("0 kill", full(time.Minute, 0))
}

func TestTallyIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tally.json")
	if _, found, err := LoadTally(path); found || err != nil {
		t.Fatalf("a tally of nothing: %v", err)
	}
	want := full(time.Hour, 40)
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, found, err := LoadTally(path); !found || err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if !strings.Contains(want.Table(), "fault rolling-restart") {
		t.Error(want.Table())
	}
}
