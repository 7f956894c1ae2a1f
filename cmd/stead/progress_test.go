package main

import (
	"strings"
	"testing"
)

func TestBar(t *testing.T) {
	f := func(done, all, width int, more, want string) {
		t.Helper()
		if got := bar(done, all, width, more); got != want {
			t.Errorf("%d of %d in %d: %q, want %q", done, all, width, got, want)
		}
	}
	f(0, 4, 20, "", "["+strings.Repeat(".", 17)+"] ")
	f(1, 2, 19, "1 of 2", "[#####.....] 1 of 2")
	f(2, 2, 19, "2 of 2", "[##########] 2 of 2")
	f(0, 0, 19, "0 of 0", "[##########] 0 of 0")
	f(1, 2, 500, "1 of 2", "["+strings.Repeat("#", 20)+strings.Repeat(".", 20)+"] 1 of 2")
	f(1, 2, 18, "1 of 2", "1 of 2")
	f(1, 2, 5, "1 of 2", "1 of")
	f(1, 2, 1, "1 of 2", "")
}

func TestProgressWithoutATerminal(t *testing.T) {
	var out strings.Builder
	line := newProgressLine(&out)
	for done := range 100 {
		line.show(done, 100, "")
	}
	line.end()
	if got, want := out.String(), "0 of 100 slots\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var out strings.Builder
	line := newProgressLine(&out)
	line.width = func() int { return 25 }
	line.show(1, 2, "")
	line.show(2, 2, "")
	line.end()
	if got, want := out.String(), "\r\x1b[K[#####.....] 1 of 2 slots\r\x1b[K[##########] 2 of 2 slots\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestOctets(t *testing.T) {
	f := func(count uint64, want string) {
		t.Helper()
		if got := octets(count); got != want {
			t.Errorf("%d is %q, want %q", count, got, want)
		}
	}
	f(0, "0 B")
	f(999, "999 B")
	f(1000, "1.0 kB")
	f(34_500_000, "34.5 MB")
	f(1<<63, "9.2 EB")
}
