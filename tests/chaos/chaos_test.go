//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
)

// TestMain runs everything in namespaces of its own.
func TestMain(m *testing.M) {
	if Inside() {
		os.Exit(m.Run())
	}
	code, err := Enclose()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// TestChaos: whatever the nemesis does, every acknowledged write survives and every key stays linearizable. With
// CHAOS_EXPECT=violation, for nodes that were broken on purpose, it must find out.
func TestChaos(t *testing.T) {
	config, err := ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), config, log.New(os.Stdout, "", log.Ltime))
	switch {
	case !config.ExpectViolation && err != nil:
		t.Fatal(err)
	case config.ExpectViolation && !errors.Is(err, ErrViolation):
		t.Fatalf("no violation was found: %v", err)
	case config.ExpectViolation:
		t.Logf("found, as expected: %v", err)
	}
}
