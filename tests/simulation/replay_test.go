package simulation

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestReplay replays the transcript that SIM_REPLAY names, and says what it shows.
func TestReplay(t *testing.T) {
	path := os.Getenv("SIM_REPLAY")
	if path == "" {
		t.Skip("SIM_REPLAY names no transcript")
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	faults, err := replay(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

// TestTranscriptsReplay: the transcript of a run leads to the same states again; one that tells of a lost write,
// or of another configuration in an epoch, is found at fault.
func TestTranscriptsReplay(t *testing.T) {
	var lines []string
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, scene{Seed: 8, Replicas: 2, Length: 5 * time.Second})
		s.run()
		lines = s.judge.transcript.lines
		for _, fault := range s.judge.faults {
			t.Error(fault)
		}
	})
	f := func(name string, edit func(line string) string, found bool) {
		t.Helper()
		var text strings.Builder
		for _, line := range lines {
			text.WriteString(edit(line) + "\n")
		}
		faults, err := replay(strings.NewReader(text.String()))
		if (err != nil || len(faults) > 0) != found {
			t.Errorf("%s: %v %v", name, faults, err)
		}
	}
	same := func(line string) string { return line }
	f("as it was", same, false)
	f("reads return nothing", func(line string) string {
		if strings.HasPrefix(line, "operation ") && strings.Contains(line, `"kind":1`) {
			before, _, _ := strings.Cut(line, `,"value"`)
			return strings.TrimRight(before, "}") + "}}"
		}
		return line
	}, true)
	f("without a registration", func(line string) string {
		if strings.HasPrefix(line, "entry 3 ") {
			return "trouble it was lost"
		}
		return line
	}, true)
}
