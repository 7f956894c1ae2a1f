package sidecar

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// The node joins when the service is well, says when it is not, and sends nobody to it meanwhile.
func TestHealthDecides(t *testing.T) {
	var status atomic.Int32
	status.Store(500)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.WriteHeader(int(status.Load()))
		}
		_, _ = io.WriteString(w, "served")
	}))
	defer upstream.Close()
	control := newFakeControl()
	sidecar := openSidecar(t, testConfig(control, strings.TrimPrefix(upstream.URL, "http://")))
	defer closeSidecar(t, sidecar)

	unhealthy := func(when string) {
		t.Helper()
		got := get(t, sidecar.Addr(), "/")
		if got.status != 503 || !strings.Contains(got.body, string(api.CodeServiceUnhealthy)) || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v", when, got)
		}
		if got := get(t, sidecar.Addr(), "/healthz?x"); got.status != int(status.Load()) || got.body != "served" {
			t.Errorf("%s: the health path answers %+v", when, got)
		}
	}
	unhealthy("before the first check")
	if calls := control.drained(); calls != "" {
		t.Errorf("before the first check: %s", calls)
	}
	status.Store(204)
	control.await(t, "register")
	control.await(t, "beat")
	if got := get(t, sidecar.Addr(), "/"); got.status != 200 || got.body != "served" {
		t.Errorf("healthy: %+v", got)
	}
	status.Store(301)
	control.await(t, "unhealthy")
	unhealthy("after failures")
	status.Store(200)
	control.await(t, "beat")
	if got := get(t, sidecar.Addr(), "/"); got.status != 200 {
		t.Errorf("healthy again: %+v", got)
	}
	upstream.CloseClientConnections()
	upstream.Listener.Close()
	if got := get(t, sidecar.Addr(), "/"); got.status != 503 || !strings.Contains(got.body, string(api.CodeServiceUnhealthy)) {
		t.Errorf("nobody listens: %+v", got)
	}
}

func TestFailuresInARow(t *testing.T) {
	checker := newChecker(testConfig(newFakeControl(), "127.0.0.1:1"), nil, slog.New(slog.DiscardHandler))
	run := func(outcomes string, healthy bool) {
		t.Helper()
		checker.judge(nil, 0)
		failed := 0
		for _, outcome := range outcomes {
			if outcome == '+' {
				failed = 0
				checker.judge(nil, 0)
				continue
			}
			failed++
			checker.judge(io.EOF, failed)
		}
		if got := checker.healthy(t.Context()) == nil; got != healthy {
			t.Errorf("after %s: healthy %t", outcomes, got)
		}
	}
	run("--", true)
	run("---", false)
	run("--+--", true)
	run("-----+", true)
}

// service is a command line that runs the test binary as a service.
func service(t *testing.T, config *Config, traits ...string) *lines {
	t.Helper()
	t.Setenv(role, "service")
	output := &lines{seen: make(chan string, 100)}
	config.Command = append([]string{os.Args[0], config.Upstream}, traits...)
	config.Stdout, config.Stderr = output, os.Stderr
	return output
}

// lines hands out what is written to it line by line.
type lines struct {
	rest string
	seen chan string
}

func (l *lines) Write(text []byte) (int, error) {
	l.rest += string(text)
	for {
		line, rest, whole := strings.Cut(l.rest, "\n")
		if !whole {
			return len(text), nil
		}
		l.rest = rest
		l.seen <- line
	}
}

func (l *lines) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case line := <-l.seen:
		if line != want {
			t.Errorf("the service says %q, want %q", line, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the service does not say %q", want)
	}
}

// The command starts before the node joins, and ends after the last request has its answer.
func TestCommandIsDrainedBeforeItStops(t *testing.T) {
	control := newFakeControl()
	config := testConfig(control, cluster.FreeAddress(t))
	output := service(t, &config)
	sidecar := openSidecar(t, config)
	output.expect(t, "service runs")
	control.await(t, "beat")
	slow := make(chan answer, 1)
	go func() {
		got, _ := try(http.MethodGet, sidecar.Addr(), "/slow", nil)
		slow <- got
	}()
	output.expect(t, "slow begins")
	closeSidecar(t, sidecar)
	if got := <-slow; got.body != "slow answer" {
		t.Errorf("the request inside got %+v", got)
	}
	output.expect(t, "slow ends")
	output.expect(t, "service got terminated")
	control.await(t, "leaving")
	if sidecar.Err() != nil {
		t.Errorf("a sidecar that was closed failed: %v", sidecar.Err())
	}
}

func TestStubbornCommandIsKilled(t *testing.T) {
	control := newFakeControl()
	config := testConfig(control, cluster.FreeAddress(t))
	config.StopTimeout = 200 * time.Millisecond
	output := service(t, &config, "stubborn")
	sidecar := openSidecar(t, config)
	control.await(t, "beat")
	began := time.Now()
	closeSidecar(t, sidecar)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	output.expect(t, "service runs")
	output.expect(t, "service got terminated")
}

func TestCommandThatEndsEndsTheSidecar(t *testing.T) {
	control := newFakeControl()
	config := testConfig(control, cluster.FreeAddress(t))
	service(t, &config)
	sidecar := openSidecar(t, config)
	control.await(t, "beat")
	if got := get(t, sidecar.Addr(), "/die"); got.status != 502 {
		t.Errorf("the request that ended it: %+v", got)
	}
	<-sidecar.Done()
	var exit *exec.ExitError
	if !errors.As(sidecar.Err(), &exit) || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v", sidecar.Err())
	}
	if got := get(t, sidecar.Addr(), "/"); got.status != 503 {
		t.Errorf("after it: %+v", got)
	}
	closeSidecar(t, sidecar)
	if calls := control.drained(); !strings.HasSuffix(calls, "leaving") {
		t.Errorf("the last words were %s", calls)
	}
}

// A sidecar that is killed takes its command along: nobody is left to hold the service's port.
func TestKilledSidecarTakesItsCommandAlong(t *testing.T) {
	child := exec.Command(os.Args[0], cluster.FreeAddress(t))
	child.Env = append(os.Environ(), role+"=sidecar")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(output)
	if line, err := reader.ReadString('\n'); line != "service runs\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_ = child.Process.Kill()
	ended := make(chan struct{})
	go func() {
		_, _ = io.ReadAll(reader) // the service holds the pipe open while it lives
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the service lives on")
	}
	_ = child.Wait()
}

func TestConfigIsChecked(t *testing.T) {
	run := func(want string, change func(*Config)) {
		t.Helper()
		config := testConfig(newFakeControl(), "127.0.0.1:1")
		change(&config)
		if sidecar, err := Open(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if sidecar != nil {
				_ = sidecar.Close(context.Background())
			}
		}
	}
	run("listen address", func(c *Config) { c.Listen = "x" })
	run("to advertise", func(c *Config) { c.Listen = ":0" })
	run("upstream address", func(c *Config) { c.Upstream = "x" })
	run("health path", func(c *Config) { c.HealthPath = "healthz" })
	run("health path", func(c *Config) { c.HealthPath = "/healthz?x" })
	run("health interval", func(c *Config) { c.HealthInterval = 0 })
	run("health failures", func(c *Config) { c.HealthFailures = 0 })
	run("has no name", func(c *Config) { c.Command = []string{""} })
	run("stop timeout", func(c *Config) { c.StopTimeout = 0 })
	run("node id", func(c *Config) { c.Node.ID = "" })
	run("cannot start command", func(c *Config) { c.Command = []string{"/does/not/exist"} })
}
