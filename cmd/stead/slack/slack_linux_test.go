package slack

import (
	"fmt"
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
}

func present() time.Duration {
	is, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, getTimerSlack, 0, 0)
	return time.Duration(is)
}

// A program that relaxes goes on as the same process, with the same arguments.
func TestRelax(t *testing.T) {
	f := func(want time.Duration, environment ...string) {
		t.Helper()
		command := exec.Command(os.Args[0], "one", "two")
		command.Env = append(environment, child+"=yes")
		output, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintln(command.Process.Pid, want, "[one two]"); string(output) != want {
			t.Errorf("got %q, want %q", strings.TrimSpace(string(output)), want)
		}
	}
	f(max(timers, present()))
	f(present(), mark+"=1ms") // it was executed already, and cannot have it
}
