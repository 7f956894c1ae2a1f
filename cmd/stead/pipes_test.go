package main

import (
	"os"
	"os/exec"
	"testing"
)

// unread is set where this program is started again to write to a stdout that nobody reads.
const unread = "STEAD_TEST_UNREAD"

// TestOutlivesReaders: a server goes on when whoever read its output is gone.
func TestOutlivesReaders(t *testing.T) {
	if os.Getenv(unread) != "" {
		defer outliveReaders()()
		for range 10 {
			_, _ = os.Stdout.WriteString("a line\n")
		}
		os.Exit(7)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	defer func() { _ = writer.Close() }()
	again := exec.Command(os.Args[0], "-test.run=^TestOutlivesReaders$")
	again.Env = append(os.Environ(), unread+"=yes")
	again.Stdout = writer
	if err := again.Run(); again.ProcessState == nil || again.ProcessState.ExitCode() != 7 {
		t.Errorf("it ended: %v", err)
	}
}
