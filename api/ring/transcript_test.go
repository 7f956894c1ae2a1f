package ring_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// TestAssignTranscripts plays the scripts in testdata/assign. A script's lines are
//
//	ring slots=8 replicas=2         an empty ring
//	node a zone=z1 weight=2 pinned  a candidate comes, or changes
//	gone a                          it is none any more
//	slots ab bc c-                  the replicas as they are now
//	assign                          what comes of it follows, indented
//
// Ids are letters. A slot shows its nodes, primary first; a capital has just arrived.
func TestAssignTranscripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/assign/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		played, err := play(string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		name, _ := filepath.Rel("testdata", path)
		golden(t, name, played)
	}
}

// play answers each command of a script, leaving out what was answered before.
func play(script string) (string, error) {
	var w world
	var out strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		answer, err := w.command(words[0], words[1:])
		if err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
		out.WriteString(answer)
	}
	return out.String(), nil
}

func (w *world) command(verb string, words []string) (string, error) {
	switch verb {
	case "ring":
		return "", w.empty(words)
	case "node":
		return "", w.enlist(words[0], words[1:])
	case "slots":
		for i, letter := range strings.Join(words, "") {
			w.current[i] = indexOf(letter)
		}
		return "", nil
	case "gone":
		w.nodes = slices.DeleteFunc(w.nodes, func(c ring.Candidate) bool { return string(c.ID) == words[0] })
		return "", nil
	case "assign":
		got := ring.Assign(w.current, w.replicas, w.nodes)
		shown := w.show(got)
		w.current = got.Want
		return shown, nil
	}
	return "", fmt.Errorf("unknown command")
}

func (w *world) empty(words []string) error {
	slots := 0
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		number, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		switch name {
		case "slots":
			slots = number
		case "replicas":
			w.replicas = number
		}
	}
	w.current = slices.Repeat([]ring.NodeIndex{ring.NoNode}, slots*w.replicas)
	return nil
}

// indexOf gives every letter an index.
func indexOf(letter rune) ring.NodeIndex {
	if letter == '-' {
		return ring.NoNode
	}
	return ring.NodeIndex(letter)
}

// enlist adds a node or changes it.
func (w *world) enlist(id string, words []string) error {
	node := ring.Candidate{Index: indexOf(rune(id[0])), ID: api.NodeID(id), Weight: 1}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "zone":
			node.Zone = value
		case "pinned":
			node.Pinned = true
		case "weight":
			weight, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			node.Weight = weight
		}
	}
	w.nodes = slices.DeleteFunc(w.nodes, func(c ring.Candidate) bool { return c.ID == node.ID })
	w.nodes = append(w.nodes, node)
	slices.SortFunc(w.nodes, func(a, b ring.Candidate) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return nil
}

func (w *world) show(got ring.Assignment) string {
	var out strings.Builder
	fmt.Fprintf(&out, "  moved %d, at least %d\n", got.Moved, got.Minimum)
	held := w.held(got.Want)
	for i, node := range w.nodes {
		primaries := 0
		for slot := range w.slots() {
			if w.row(got.Want, slot)[0] == node.Index {
				primaries++
			}
		}
		fmt.Fprintf(&out, "  %s %2d replicas, %2d primary\n", node.ID, held[i], primaries)
	}
	for first := 0; first < w.slots(); first += 12 {
		line := " "
		for slot := first; slot < min(first+12, w.slots()); slot++ {
			line += " " + w.letters(got.Want, slot)
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

func (w *world) letters(want []ring.NodeIndex, slot int) string {
	text := ""
	for _, index := range w.row(want, slot) {
		switch {
		case index == ring.NoNode:
			text += "-"
		case slices.Contains(w.row(w.current, slot), index):
			text += string(rune(index))
		default:
			text += strings.ToUpper(string(rune(index)))
		}
	}
	return text
}
