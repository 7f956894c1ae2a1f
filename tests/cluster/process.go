package cluster

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for something that happens within seconds on an idle machine.
const Patience = 30 * time.Second

// Process is a real process under test. It is killed at the end of the test, by pid, if it still runs.
type Process struct {
	Name string
	t    testing.TB
	path string
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	out  tail
}

var build struct {
	once sync.Once
	path string
	err  error
}

// Binary builds stead, once a test program, and returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		folder, err := os.MkdirTemp("", "stead-e2e-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(folder, "stead")
		command := exec.Command("go", "build", "-o", build.path, "./cmd/stead")
		command.Dir = root()
		if output, err := command.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("%w: %s", err, output)
		}
	})
	if build.err != nil {
		t.Fatalf("cannot build stead: %v", build.err)
	}
	return build.path
}

// RemoveBinary cleans up after Binary; a TestMain calls it at the end.
func RemoveBinary() {
	if build.path != "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
}

func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Run starts a process that the test owns.
func Run(t testing.TB, name, path string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, t: t, path: path, args: args}
	p.Start()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			output := p.out.String()
			t.Logf("--- last lines of %s ---\n%s", name, output[max(0, len(output)-shown):])
		}
	})
	return p
}

// Start starts the process, anew if it ran before; args replace the earlier ones if given.
func (p *Process) Start(args ...string) {
	p.t.Helper()
	if len(args) > 0 {
		p.args = args
	}
	endOnSignal()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("cannot start %s: %v", p.Name, err)
	}
	done, cmd := make(chan struct{}), p.cmd
	p.done = done
	running.Store(cmd.Process.Pid, true)
	go func() {
		_ = cmd.Wait() // its state says how it ended
		running.Delete(cmd.Process.Pid)
		close(done)
	}()
}

// running has the pids of the processes that were started and have not ended.
var running sync.Map

// endOnSignal has a test program that is interrupted take along what it started.
var endOnSignal = sync.OnceFunc(func() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		running.Range(func(pid, _ any) bool {
			_ = syscall.Kill(-pid.(int), syscall.SIGKILL) // its group: what it started in turn
			return true
		})
		RemoveBinary()
		os.Exit(1)
	}()
})

// Upgrade has the next Start run another binary.
func (p *Process) Upgrade(path string) { p.path = path }

// Args are the flags it was started with last.
func (p *Process) Args() []string { return slices.Clone(p.args) }

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process as kill -9 does, and waits for the end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

// Stop ends the process as an operator does, with SIGTERM, and fails the test if it does not go.
func (p *Process) Stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.t.Fatalf("%s did not stop on SIGTERM:\n%s", p.Name, p.out.String())
	}
}

// Signal sends a signal to the process.
func (p *Process) Signal(signal os.Signal) { _ = p.cmd.Process.Signal(signal) }

// Ended waits for the process to end by itself and returns its exit code.
func (p *Process) Ended() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		p.t.Fatalf("%s did not end:\n%s", p.Name, p.out.String())
		return -1
	}
}

// Output is the last of what the process wrote.
func (p *Process) Output() string { return p.out.String() }

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end bytes.Buffer
}

const (
	tailMax = 64 << 10
	shown   = 2 << 10 // of a failed test's processes
)

func (o *tail) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.end.Len()+len(p) > 2*tailMax {
		kept := bytes.Clone(o.end.Bytes()[max(0, o.end.Len()-tailMax):])
		o.end.Reset()
		o.end.Write(kept)
	}
	return o.end.Write(p)
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.end.String()
}

var _ io.Writer = (*tail)(nil)

// Pause stops the process (SIGSTOP), and returns once none of its threads runs any more. Signal(SIGCONT) wakes it.
func (p *Process) Pause() {
	p.t.Helper()
	p.Signal(syscall.SIGSTOP)
	deadline := time.Now().Add(Patience)
	for !p.stopped() {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s does not stop", p.Name)
		}
		time.Sleep(time.Millisecond)
	}
}

// stopped reports whether every thread is: the kernel stops each when it next comes by.
func (p *Process) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		content, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		if _, state, found := bytes.Cut(content, []byte(") ")); found && state[0] != 'T' {
			return false
		}
	}
	return true
}
