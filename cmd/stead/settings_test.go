package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stead-io/stead/dataplane"
)

// attended is a proxy's attendant over a command line, an environment and a file.
func attended(t *testing.T, line string, environment map[string]string, file string) (*attendant, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy.conf")
	f := &proxyFlags{config: dataplane.NewConfig()}
	command := parse(t, line+" --config "+path, f.add)
	if err := bindEnvironment(command.Flags(), func(name string) string { return environment[name] }); err != nil {
		t.Fatal(err)
	}
	write(t, path, file)
	a := &attendant{proxyFlags: f, command: command, given: layerOf(command.Flags())}
	return a, a.open()
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSettingsFile: flags go before the environment, that before the file, that before the defaults.
func TestSettingsFile(t *testing.T) {
	a, err := attended(t, "--deadline 1s", map[string]string{"STEAD_DEADLINE": "2s", "STEAD_STREAM_TIMEOUT": "3s"}, `
# of this proxy
deadline = 4s
stream-timeout=5s
  idle-timeout   =   6s
control = a:1,b:1
key = header:X-Shard-Key
insecure-clients = true
id=
`)
	if err != nil {
		t.Fatal(err)
	}
	c := a.config
	got := fmt.Sprintln(c.Deadline, c.StreamTimeout, c.IdleTimeout, c.BodyMax, c.Control, c.KeyRules, c.SecurityClients.Insecure, c.ID)
	if want := fmt.Sprintln("1s", "3s", "6s", dataplane.BodyMaxDefault, "[a:1 b:1]", "[header:X-Shard-Key]", true, ""); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, want := range []dataplane.Setting{
		{Name: "deadline", Value: "1s", Source: sourceFlag}, {Name: "stream-timeout", Value: "3s", Source: sourceEnvironment},
		{Name: "idle-timeout", Value: "6s", Source: sourceFile}, {Name: "body-max", Value: "1073741824", Source: sourceDefault},
		{Name: "control", Value: "a:1,b:1", Source: sourceFile},
	} {
		if !strings.Contains(fmt.Sprint(c.Origin.Settings), fmt.Sprint(want)) {
			t.Errorf("%v is not shown in %v", want, c.Origin.Settings)
		}
	}
}

func TestSettingsFileRefused(t *testing.T) {
	f := func(file, want string) {
		t.Helper()
		_, err := attended(t, "", nil, file)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", file, err, want)
		}
	}
	f("# fine\n\ndeadlin = 4s", `proxy.conf:3: there is no setting "deadlin"`)
	f("config = other", `proxy.conf:1: there is no setting "config"`)
	f("= 4s", `there is no setting ""`)
	f("deadline 4s", `"deadline 4s" is not NAME = VALUE`)
	f("deadline = 4", `invalid argument "4" for "--deadline"`)
	f(`deadline = "4s"`, "values go without")
	f("body-max = 1\nbody-max = 2", "proxy.conf:2: body-max stands in line 1 too")
	f("drain-delay = 1m", "--drain-delay 1m0s leaves nothing of --stop-timeout 30s")
	f("log-level = loud", "not \"loud\"")
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if err := readSettings(&pflag.FlagSet{}, path); err == nil {
			t.Errorf("%s passes for a file", path)
		}
	}
}

// TestReread: what the file says now takes the place of what it said, for what may change; the rest is named.
func TestReread(t *testing.T) {
	a, err := attended(t, "--deadline 1s", nil, "stream-timeout = 5s\nidle-timeout = 6s\ncontrol = a:1,b:1\nlisten = h:1\nadvertise = h:2")
	if err != nil {
		t.Fatal(err)
	}
	f := func(file, wantChanged, wantWaiting, want string) {
		t.Helper()
		write(t, a.file, file)
		before := layerOf(a.command.Flags())
		changed, waiting, err := a.reread(before)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(changed) != wantChanged || fmt.Sprint(waiting) != wantWaiting {
			t.Errorf("%q: changed %v, waiting %v; want %s, %s", file, changed, waiting, wantChanged, wantWaiting)
		}
		c := a.settings()
		if got := fmt.Sprint(c.Deadline, " ", c.StreamTimeout, " ", c.IdleTimeout, " ", c.Control, " ", c.Listen); got != want {
			t.Errorf("%q: got %s, want %s", file, got, want)
		}
	}
	f("stream-timeout = 7s\ncontrol = a:1,b:1\nlisten = h:1\nadvertise = h:2\ndeadline=9s", "[idle-timeout stream-timeout]", "[]", "1s 7s 1m15s [a:1 b:1] h:1")
	f("stream-timeout = 8s\ncontrol = c:1\nlisten = h:3\nadvertise = h:2", "[stream-timeout]", "[control listen]", "1s 8s 1m15s [a:1 b:1] h:1")
	f("control = b:1\nadvertise = h:2", "[stream-timeout]", "[control listen]", "1s 1m0s 1m15s [a:1 b:1] h:1")
	f("control = a:1,b:1\nadvertise = h:2\nlisten = h:1", "[]", "[]", "1s 1m0s 1m15s [a:1 b:1] h:1")
}

// TestRereadRefuses: a mistake is found when the file is read, also in a setting that would wait for a restart.
func TestRereadRefuses(t *testing.T) {
	a, err := attended(t, "", nil, "deadline = 4s")
	if err != nil {
		t.Fatal(err)
	}
	f := func(file, want string) {
		t.Helper()
		write(t, a.file, file)
		before := layerOf(a.command.Flags())
		_, _, err := a.reread(before)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", file, err, want)
		}
		a.command.Flags().VisitAll(before.restore)
	}
	f("via = a b", "cannot stand in Via")
	f("access-log = xml", "access log")
	f("trusted-proxies = lb.example", "cannot trust")
	f("listen = nowhere", "cannot listen")
	f("mux = on", "mux is auto or off")
	f("connections = 0", "at least one connection")
	f("stream-timeout = 2562047h", "at most")
	f("drain-delay = 1m\nlisten = h:1", "leaves nothing")
}

// TestLayerRestores: a file that is refused half way leaves every flag as it was.
func TestLayerRestores(t *testing.T) {
	a, err := attended(t, "--key query:a", map[string]string{"STEAD_CONTROL": "x:1"}, "deadline = 4s")
	if err != nil {
		t.Fatal(err)
	}
	flags := a.command.Flags()
	before, shownBefore := layerOf(flags), fmt.Sprint(shown(flags))
	write(t, a.file, "deadline = 5s\nbody-max = 7\nnonsense")
	if _, _, err := a.reread(before); err == nil {
		t.Fatal("it passes")
	}
	flags.VisitAll(before.restore)
	if now := fmt.Sprint(shown(flags)); now != shownBefore {
		t.Errorf("got  %s\nwant %s", now, shownBefore)
	}
}

// TestReloadedFlags: every flag that is said to change while the proxy runs is one, and says so.
func TestReloadedFlags(t *testing.T) {
	command := &cobra.Command{}
	new(proxyFlags).add(command)
	count := 0
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if flag.Annotations[reloadNote] != nil {
			count++
		}
	})
	if count != len(reloaded) {
		t.Errorf("%d flags are, %d should be", count, len(reloaded))
	}
}

// TestLogLevelFollows: loggers made before heed a level that is set later.
func TestLogLevelFollows(t *testing.T) {
	a, err := attended(t, "", nil, "log-level = warn")
	if err != nil {
		t.Fatal(err)
	}
	f := func(level slog.Level, want bool) {
		t.Helper()
		if got := a.config.Logger.Enabled(t.Context(), level); got != want {
			t.Errorf("%v is logged: %v", level, got)
		}
	}
	f(slog.LevelInfo, false)
	a.level.Set(slog.LevelDebug)
	f(slog.LevelDebug, true)
}
