package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

const unitFolder = "../../docs/systemd"

// unit is a systemd unit, or a file of variables: the values of each setting, in order.
type unit map[string][]string

func readUnits(t *testing.T) map[string]unit {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(unitFolder, "*.service"))
	if err != nil || len(paths) != 4 {
		t.Fatalf("found %v, %v", paths, err)
	}
	units := map[string]unit{}
	for _, path := range paths {
		units[filepath.Base(path)] = settings(t, path)
	}
	return units
}

// settings reads the lines NAME=VALUE of a file.
func settings(t *testing.T, path string) unit {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := unit{}
	for line := range strings.Lines(string(raw)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(name, "#") {
			read[name] = append(read[name], value)
		}
	}
	return read
}

// commandOf finds the command that a unit runs, and its flags.
func commandOf(t *testing.T, line string) (command *cobra.Command, flags []string) {
	t.Helper()
	words := strings.Fields(line)
	root, _ := rootCommand()
	command, rest, err := root.Find(words[1:])
	if err != nil || command == root || words[0] != "/usr/local/bin/stead" {
		t.Fatalf("%s runs no command of stead: %v", line, err)
	}
	return command, rest
}

// TestUnitsRunWhatThereIs: flags and variables of the units are those of the commands, and each unit is
// given more time to stop than its process takes.
func TestUnitsRunWhatThereIs(t *testing.T) {
	for name, unit := range readUnits(t) {
		command, flags := commandOf(t, unit["ExecStart"][0])
		if err := command.ParseFlags(flags); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		stop, err := command.Flags().GetDuration("stop-timeout")
		limit, errLimit := time.ParseDuration(unit["TimeoutStopSec"][0] + "s")
		if err != nil || errLimit != nil || limit <= stop {
			t.Errorf("%s: TimeoutStopSec is %v, --stop-timeout %v", name, limit, stop)
		}
		for _, wanted := range []string{"Restart", "LimitNOFILE", "StateDirectory", "User", "NoNewPrivileges", "ProtectSystem"} {
			if len(unit[wanted]) != 1 {
				t.Errorf("%s: %s stands %d times", name, wanted, len(unit[wanted]))
			}
		}
		checkVariables(t, command, unit["EnvironmentFile"][0])
	}
}

// checkVariables: every line of the example that goes with a unit is a flag of its command, and takes
// its value.
func checkVariables(t *testing.T, command *cobra.Command, environmentFile string) {
	t.Helper()
	example := strings.NewReplacer("node-%i", "node-n1", "sidecar-%i", "sidecar-app1").Replace(filepath.Base(environmentFile))
	variables := settings(t, filepath.Join(unitFolder, example))
	if len(variables) == 0 {
		t.Errorf("%s is empty", example)
	}
	for name, values := range variables {
		flag := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, environmentPrefix)), "_", "-")
		if found := command.Flags().Lookup(flag); found == nil || variableOf(flag) != name {
			t.Errorf("%s: %s is no flag of stead %s", example, name, command.Name())
		} else if err := found.Value.Set(values[0]); err != nil {
			t.Errorf("%s: %s: %v", example, name, err)
		}
	}
}

// TestUnitsVerify asks systemd itself, where it is: of copies that run a program of this machine.
func TestUnitsVerify(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not on this machine")
	}
	folder := t.TempDir()
	verified := []string{"verify", "--man=no", "--recursive-errors=no"}
	for name := range readUnits(t) {
		raw, err := os.ReadFile(filepath.Join(unitFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		local := regexp.MustCompile(`/usr/local/bin/stead`).ReplaceAllLiteralString(string(raw), "/bin/true")
		local = regexp.MustCompile(`(?m)^BindsTo=.*$`).ReplaceAllLiteralString(local, "") // the service is the user's own
		path := filepath.Join(folder, strings.Replace(name, "@.", "@n1.", 1))
		if err := os.WriteFile(path, []byte(local), 0o600); err != nil {
			t.Fatal(err)
		}
		verified = append(verified, path)
	}
	if output, err := exec.Command(analyze, verified...).CombinedOutput(); err != nil || strings.Contains(string(output), folder) {
		t.Errorf("systemd-analyze: %v\n%s", err, output)
	}
}
