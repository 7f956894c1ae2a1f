package main

import (
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"stead": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs command lines against a control plane that is played (fake_test.go).
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			control := httptest.NewServer(fakeControl())
			env.Defer(control.Close)
			env.Setenv("STEAD_CONTROL", control.URL)
			env.Setenv("STEAD_ACTOR", "ann@desk")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a race detector's second at every command's end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode},
	})
}

// exitCode runs a command line and compares its exit code: code 2 stead bogus.
func exitCode(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: code CODE COMMAND...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	root, _ := rootCommand()
	var visit func(*cobra.Command)
	visit = func(command *cobra.Command) {
		path := strings.Fields(command.CommandPath())[1:]
		var out strings.Builder
		if code := run(append(path, "--help"), &out, &out); code != exitDone || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%s --help: exit code %d, printed\n%s", command.CommandPath(), code, out.String())
		}
		for _, child := range command.Commands() {
			visit(child)
		}
	}
	visit(root)
}
