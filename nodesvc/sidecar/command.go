package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// outputDelay is how long output is still copied after the command ended, for the benefit of
	// processes that outlive it and hold its output open.
	outputDelay = time.Second
	// killDelay is how long the kernel may take to end what was killed.
	killDelay = 2 * time.Second
)

// command is a running child process, with all it started in its process group.
type command struct {
	process *os.Process
	ended   chan struct{}
	err     error // how it ended; written before ended is closed
}

// startCommand starts the command in a process group of its own, so that a Ctrl-C in the terminal
// reaches the sidecar alone and the service is drained before it is stopped.
func startCommand(argv []string, stdout, stderr io.Writer) (*command, error) {
	if stdout == nil {
		stdout = os.Stdout
	}
	if stderr == nil {
		stderr = os.Stderr
	}
	child := exec.Command(argv[0], argv[1:]...)
	child.Stdout, child.Stderr = stdout, stderr
	child.WaitDelay = outputDelay
	child.SysProcAttr = groupAttributes()

	c := &command{ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child's parent-death signal to the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := child.Start()
		c.process = child.Process
		started <- err
		if err == nil {
			c.err = child.Wait()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start command %s: %w", argv[0], err)
	}
	return c, nil
}

// exit says how the command ended; it must have.
func (c *command) exit() error {
	if c.err == nil {
		return errors.New("the command ended by itself")
	}
	return fmt.Errorf("the command ended: %w", c.err)
}

// stop asks the process group to end, kills it after grace or when ctx ends, and waits for that.
func (c *command) stop(ctx context.Context, grace time.Duration) {
	select {
	case <-c.ended:
	default:
		c.signal(syscall.SIGTERM)
	}
	asked, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-c.ended:
	case <-asked.Done():
	}
	c.signal(syscall.SIGKILL) // to what the command left behind, too
	killed := time.NewTimer(killDelay)
	defer killed.Stop()
	select {
	case <-c.ended:
	case <-killed.C:
	}
}

func (c *command) signal(signal syscall.Signal) { _ = syscall.Kill(-c.process.Pid, signal) }
