package dev

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// pipeGrace is how long the output of a process is read after its end: something it started may
// still hold the other side.
const pipeGrace = time.Second

// spawner starts processes from one OS thread that it never gives back: on Linux a process is set
// to die with the thread that started it, so that thread must live as long as the cluster.
type spawner struct {
	work chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		for start := range s.work {
			start()
		}
	}()
	return s
}

// start runs a command's Start on the thread.
func (s *spawner) start(command *exec.Cmd) error {
	result := make(chan error)
	s.work <- func() { result <- command.Start() }
	return <-result
}

// stop ends the thread, and whatever it started.
func (s *spawner) stop() {
	close(s.work)
	<-s.done
}

// process is a running, or ended, process of the cluster.
type process struct {
	spec    spec
	command *exec.Cmd
	output  *lines
	ended   chan struct{} // closed once the process is gone and err is set
	err     error         // how it ended
}

// launch starts a process and the goroutine that waits for its end.
func launch(s *spawner, executable string, spec spec, to *printer) (*process, error) {
	p := &process{
		spec:    spec,
		command: exec.Command(executable, spec.args...),
		output:  &lines{name: spec.id, to: to},
		ended:   make(chan struct{}),
	}
	p.command.Stdout, p.command.Stderr = p.output, p.output
	p.command.Env = withoutPrefix(os.Environ(), "STEAD_")
	p.command.WaitDelay = pipeGrace
	p.command.SysProcAttr = bound()
	if err := s.start(p.command); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", spec.id, err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.command.Wait()
		p.output.flush()
	}()
	return p, nil
}

// withoutPrefix drops variables that would be taken for flags: the command line alone decides.
func withoutPrefix(environment []string, prefix string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, prefix) {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (p *process) pid() int { return p.command.Process.Pid }

// String names a process and its pid.
func (p *process) String() string { return fmt.Sprintf("%s (pid %d)", p.spec.id, p.pid()) }

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// cause says how an ended process ended.
func (p *process) cause() string {
	if p.err == nil {
		return "it ended by itself"
	}
	return p.err.Error()
}

// stop asks the process to end, and kills it when the context ends first.
func (p *process) stop(ctx context.Context) {
	_ = p.command.Process.Signal(syscall.SIGTERM) // an error says that it is gone already
	select {
	case <-p.ended:
	case <-ctx.Done():
		_ = p.command.Process.Kill()
		<-p.ended
	}
}
