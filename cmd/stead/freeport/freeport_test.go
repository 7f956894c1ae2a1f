package freeport

import "testing"

func TestParse(t *testing.T) {
	f := func(content string, want int) {
		t.Helper()
		if got := parse(content); got != want {
			t.Errorf("parse(%q) = %d, want %d", content, got, want)
		}
	}
	f("32768\t60999\n", 32_768)
	f("20000 60999", 20_000)
	f("1024 65535", outgoingLowest)
	f("70000 70001", 65_536)
	f("", outgoingLowest)
	f("many", outgoingLowest)
}

func TestPropose(t *testing.T) {
	for range 1_000 {
		if port := Propose(); port < lowest || port > 65_535 {
			t.Fatalf("proposed %d", port)
		}
	}
}
