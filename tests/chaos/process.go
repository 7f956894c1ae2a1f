//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// restartDelay is how long the supervisor waits before it starts a process anew that ended by itself.
const restartDelay = 500 * time.Millisecond

// stopPatience is how long a process may take to end on SIGTERM.
const stopPatience = 40 * time.Second

// Process is one of the cluster, in its network namespace, under a supervisor that starts it anew when it ends by
// itself, as an operator's would.
type Process struct {
	Name string
	args []string // the binary first
	log  string   // file
	// onExit hears of ends that nobody asked for.
	onExit func(name, how string)

	mu      sync.Mutex
	wanted  bool
	sent    bool          // the end of what runs was asked for
	running *exec.Cmd     // nil: it does not run
	ended   chan struct{} // closed when running has
	turn    chan struct{} // holds a word that wanted changed
}

// NewProcess makes a process that does not run yet.
func NewProcess(name, log string, onExit func(name, how string), args ...string) *Process {
	return &Process{Name: name, args: args, log: log, onExit: onExit, turn: make(chan struct{}, 1)}
}

// Keep supervises the process until the context ends, and then kills it.
func (p *Process) Keep(ctx context.Context) error {
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open log of %s: %w", p.Name, err)
	}
	defer file.Close()
	defer p.Kill()
	for ctx.Err() == nil {
		ended, err := p.launch(file)
		if err != nil {
			return err
		}
		select {
		case <-ended:
			p.exited(ctx)
		case <-p.turn:
		case <-ctx.Done():
		}
	}
	return nil
}

// launch starts the process if it is wanted and does not run. The channel is closed when it has ended; it is nil
// if it does not run.
func (p *Process) launch(output *os.File) (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil || !p.wanted {
		return p.ended, nil
	}
	command := exec.Command("ip", append([]string{"netns", "exec", p.Name}, p.args...)...)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", p.Name, err)
	}
	ended := make(chan struct{})
	p.running, p.ended, p.sent = command, ended, false
	go func() {
		_ = command.Wait() // its state says how it ended
		close(ended)
	}()
	return ended, nil
}

// exited clears away a process that ended, and waits a moment if nobody had asked for that.
func (p *Process) exited(ctx context.Context) {
	p.mu.Lock()
	how, asked := p.running.ProcessState.String(), p.sent
	p.running, p.ended = nil, nil
	p.mu.Unlock()
	if asked {
		return
	}
	p.onExit(p.Name, how)
	select {
	case <-time.After(restartDelay):
	case <-ctx.Done():
	}
}

// Start has the process run.
func (p *Process) Start() { p.want(true) }

func (p *Process) want(wanted bool) (ended <-chan struct{}) {
	p.mu.Lock()
	p.wanted, p.sent = wanted, p.sent || !wanted
	ended = p.ended
	p.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
	default:
	}
	return ended
}

// Kill ends the process as kill -9 does, and waits for its end. It stays down until Start.
func (p *Process) Kill() {
	ended := p.want(false)
	p.Signal(syscall.SIGKILL)
	if ended != nil {
		<-ended
	}
}

// Stop ends the process as an operator does, and with kill -9 when it does not go; graceful says which it was.
func (p *Process) Stop() (graceful bool) {
	ended := p.want(false)
	p.Signal(syscall.SIGTERM)
	if ended == nil {
		return true
	}
	select {
	case <-ended:
		return true
	case <-time.After(stopPatience):
		p.Kill()
		return false
	}
}

// Signal sends a signal to the process, if it runs.
func (p *Process) Signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		_ = p.running.Process.Signal(signal) // it may have ended
	}
}

// Pid is the process's id in the run's namespace; 0: it does not run.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return 0
	}
	return p.running.Process.Pid
}
