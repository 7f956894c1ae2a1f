package slack

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child has the program relax itself, and say how it found itself afterwards.
const child = "SLACK_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	Relax()
	fmt.Println(os.Getpid(), present(), os.Args[1:])
	_, _ = fmt.Fprint(os.NewFile(inherited, "inherited"), "here")
}

// inherited is a file that the child is started with.
const inherited = 3

func present() time.Duration {
	is, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, getTimerSlack, 0, 0)
	return time.Duration(is)
}

// A program that relaxes goes on as the same process, with the same arguments and files.
func TestRelax(t *testing.T) {
	f := func(want time.Duration, environment ...string) {
		t.Helper()
		command := exec.Command(os.Args[0], "one", "two")
		command.Env = append(environment, child+"=yes")
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = reader.Close(), writer.Close() }()
		command.ExtraFiles = []*os.File{writer}
		output, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintln(command.Process.Pid, want, "[one two]"); string(output) != want {
			t.Errorf("got %q, want %q", strings.TrimSpace(string(output)), want)
		}
		_ = writer.Close()
		if got, err := io.ReadAll(reader); err != nil || string(got) != "here" {
			t.Errorf("through the inherited file came %q, %v", got, err)
		}
	}
	f(max(timers, present()))
	f(present(), mark+"=1ms") // it was executed already, and cannot have it
}
