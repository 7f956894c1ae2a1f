package main

import (
	"bytes"
	"context"
	"errors"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fakeService is a service and its config: what it does when it is opened and closed.
type fakeService struct {
	invalid, broken, failure, stuck error
	done                            chan struct{}
	closed                          bool
}

func (s *fakeService) Validate() error       { return s.invalid }
func (s *fakeService) Done() <-chan struct{} { return s.done }
func (s *fakeService) Err() error            { return s.failure }
func (s *fakeService) Close(ctx context.Context) error {
	s.closed = true
	if deadline, bounded := ctx.Deadline(); !bounded || time.Until(deadline) > time.Minute || ctx.Err() != nil {
		return errors.New("closed without a bound of its own")
	}
	return s.stuck
}

func TestServe(t *testing.T) {
	boom := errors.New("boom")
	f := func(service *fakeService, interrupt bool, wantErr string, wantClosed bool) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		command := &cobra.Command{}
		command.SetContext(ctx)
		service.done = make(chan struct{})
		if interrupt {
			cancel()
		} else {
			close(service.done)
		}
		err := serve(command, &serverFlags{stopTimeout: time.Minute}, service, func(s *fakeService) (*fakeService, error) { return s, s.broken })
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if got != wantErr || service.closed != wantClosed {
			t.Errorf("got %q, closed %v; want %q, %v", got, service.closed, wantErr, wantClosed)
		}
	}
	f(&fakeService{}, true, "", true)
	f(&fakeService{failure: boom}, false, "boom", true)
	f(&fakeService{stuck: boom}, true, "cannot stop cleanly: boom", true)
	f(&fakeService{failure: boom, stuck: boom}, false, "boom; cannot stop cleanly: boom", true)
	f(&fakeService{broken: boom}, true, "boom", false)
	f(&fakeService{invalid: boom}, true, "boom", false)
}

// TestLogOfLibraries: what libraries write to the standard logger is in the format of the others, and at debug.
func TestLogOfLibraries(t *testing.T) {
	output, flags := log.Writer(), log.Flags()
	t.Cleanup(func() { log.SetOutput(output); log.SetFlags(flags) })
	f := func(level, want string) {
		t.Helper()
		var stderr bytes.Buffer
		if _, err := newLogger(&stderr, level, logJSON); err != nil {
			t.Fatal(err)
		}
		log.Printf("protocol error: %s", "a\nb")
		_, got, _ := strings.Cut(stderr.String(), `"level":`)
		if got != want {
			t.Errorf("at %s the log says %q", level, stderr.String())
		}
	}
	f("info", "")
	f("debug", `"DEBUG","msg":"protocol error: a\nb"}`+"\n")
}

func TestEnvironmentFillsWhatTheCommandLineLeft(t *testing.T) {
	f := func(args []string, environment map[string]string, want string) {
		t.Helper()
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		name := flags.String("raft-listen", "default", "")
		list := flags.StringSlice("join", []string{"default"}, "")
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		if err := bindEnvironment(flags, func(name string) string { return environment[name] }); err != nil {
			t.Fatal(err)
		}
		if got := *name + " " + strings.Join(*list, "+"); got != want {
			t.Errorf("%v with %v: %s, want %s", args, environment, got, want)
		}
	}
	f(nil, nil, "default default")
	f(nil, map[string]string{"STEAD_RAFT_LISTEN": "a", "STEAD_JOIN": "b,c"}, "a b+c")
	f([]string{"--raft-listen=x", "--join=y", "--join=z"}, map[string]string{"STEAD_RAFT_LISTEN": "a", "STEAD_JOIN": "b"}, "x y+z")
	f(nil, map[string]string{"STEAD_RAFT_LISTEN": ""}, "default default")
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	listed := table{header: []string{"ID", "SLOTS", "NOTE"}}
	listed.add("n1", 1365, "")
	listed.add("a-longer-id", 2, "x")
	if err := listed.write(&out); err != nil {
		t.Fatal(err)
	}
	const want = "ID           SLOTS  NOTE\n" +
		"n1           1365   -\n" +
		"a-longer-id  2      x\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
}

// Servers are executed anew; what asks them, and what serves for another program, is not.
func TestWhichCommandsServe(t *testing.T) {
	f := func(want bool, line string) {
		t.Helper()
		if got := serves(strings.Fields(line)); got != want {
			t.Errorf("stead %s: %v", line, got)
		}
	}
	f(true, "control --name c1")
	f(true, "proxy")
	f(true, "node --id n1 --listen 127.0.0.1:0")
	f(false, "sidecar --id n1 -- python3 app.py")
	f(false, "nodes drain n1")
	f(false, "dev")
	f(false, "nonsense")
	f(false, "")
}
