// Command mutants builds stead with one promise of the ownership protocol broken, for runs of chaos that have to
// find out. The sources stay as they are: the compiler is given others in their place (go build -overlay).
//
//	mutants                list the mutants
//	mutants NAME OUTPUT    build one
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mutant is a program with one line changed.
type mutant struct {
	name     string
	file     string // within the module
	old, new string // old occurs once
}

var mutants = []mutant{
	// A write is acknowledged when the primary alone has it: one that dies takes it along.
	{"commits-alone", "api/ownership/replica.go", "for _, m := range need {\n\t\tseq, known := acked(m)", "for _, m := range need[:0] {\n\t\tseq, known := acked(m)"},
	// A primary reads without asking whether it still is: one that was cut off shows what was overwritten.
	{"reads-unasked", "nodesvc/replication/read.go", "if local {", "if local || number >= 0 {"},
	// A primary that takes over serves at once: the others may have what it lacks, and it has not applied its log.
	{"opens-at-once", "api/ownership/replica.go", "if durable < last || applied < last {\n\t\treturn false", "if durable < last || durable >= last {\n\t\treturn true"},
	// A replica is taken for whole before the copy is put in place: it takes over, or stays alone, without its state.
	{"joins-empty", "nodesvc/replication/copyin.go", "if err := s.engine.restoreService(s.number, at, digest, r, state); err != nil {", "if err := error(nil); err != nil {"},
	// A replica that joins is in sync before it acknowledged what was committed: promoted, it lacks it.
	{"expands-unacked", "api/ownership/replica.go", "return slices.Contains(pending, m) && known && seq >= commit", "return slices.Contains(pending, m) && (known || !known) && (seq >= commit || seq < commit)"},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch len(args) {
	case 0:
		for _, m := range mutants {
			fmt.Println(m.name)
		}
		return nil
	case 2:
		for _, m := range mutants {
			if m.name == args[0] {
				return m.build(args[1])
			}
		}
		return fmt.Errorf("there is no mutant %q", args[0])
	default:
		return errors.New("usage: mutants [NAME OUTPUT]")
	}
}

// build compiles the mutant. A change that no longer fits the source is an error: a mutant that is not one
// would show nothing.
func (m mutant) build(output string) error {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return fmt.Errorf("cannot read the source, run from the module's folder: %w", err)
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return fmt.Errorf("cannot build %s: %q occurs %d times in %s", m.name, m.old, n, m.file)
	}
	folder, err := os.MkdirTemp("", "stead-mutant-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	changed, overlay := filepath.Join(folder, "changed.go"), filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		return err
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-overlay", overlay, "-o", output, "./cmd/stead")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	return build.Run()
}
