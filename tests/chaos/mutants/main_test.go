package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every mutant still is one: what it changes is in the source, once.
func TestMutantsFitTheSource(t *testing.T) {
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join("../../..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 || m.old == m.new {
			t.Errorf("%s: what it changes occurs %d times in %s", m.name, n, m.file)
		}
	}
}
