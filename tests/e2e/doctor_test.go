//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// diagnosis is what `stead doctor -o json` prints.
type diagnosis struct {
	Level    string
	Findings []struct{ Level, Check, What, Do string }
	code     int
}

func diagnose(t *testing.T, c *cluster.Cluster) (d diagnosis) {
	t.Helper()
	output, err := steadTry(t, c, "doctor", "-o", "json", "--control", strings.Join(c.APIs, ","))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		d.code = exit.ExitCode()
	}
	if err := json.Unmarshal([]byte(output), &d); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	return d
}

// says reports whether a check found something of a level that names a text.
func (d diagnosis) says(level, check, text string) bool {
	for _, finding := range d.Findings {
		if finding.Level == level && finding.Check == check && strings.Contains(finding.What, text) {
			return true
		}
	}
	return false
}

// TestDoctor: nothing to say of a healthy cluster; then a member, a node and a proxy fail one after the
// other, and each is named with what to do.
func TestDoctor(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3})
	well := diagnose(t, c)
	for _, finding := range well.Findings {
		if finding.Level != "ok" && finding.Check != "disks" { // how full this machine is says nothing of Stead
			t.Errorf("healthy: %+v", finding)
		}
	}
	if len(well.Findings) != 13 {
		t.Errorf("healthy: %d findings", len(well.Findings))
	}
	until := func(level, check, text string, code int) {
		t.Helper()
		took := c.Await("doctor to say "+text, func(context.Context) bool {
			d := diagnose(t, c)
			return d.says(level, check, text) && d.code == code
		})
		t.Logf("%s %s: %q after %v", level, check, text, took.Round(time.Millisecond))
	}
	follower := (c.Leader() + 1) % 3
	c.Members[follower].Kill()
	until("warn", "members", "does not answer", 1)
	until("warn", "quorum", "2 of 3 voters answer", 1)

	c.Proxies[1].Signal(syscall.SIGSTOP)
	until("warn", "proxies", "proxy p2 has not been heard of", 1)
	c.Proxies[1].Signal(syscall.SIGCONT)

	c.Nodes[0].Kill()
	until("fail", "nodes", "n1 is down and holds", 2)

	c.Members[(follower+1)%3].Kill()
	until("fail", "quorum", "1 of 3 voters answer", 2)
	c.Members[(follower+2)%3].Kill()
	until("fail", "members", "no control-plane member answers", 2)
}
