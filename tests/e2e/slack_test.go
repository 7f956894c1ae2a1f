//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stead-io/stead/tests/cluster"
)

// TestServersRelaxTheirTimers: every server gets the timer slack that it asks for, in all of its threads.
func TestServersRelaxTheirTimers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a timer slack")
	}
	c := cluster.Start(t, cluster.Options{Members: 1, Nodes: 1, Proxies: 1})
	for _, server := range []*cluster.Process{c.Members[0], c.Nodes[0], c.Proxies[0]} {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", server.PID()))
		if err != nil || len(threads) < 2 {
			t.Fatal(len(threads), err)
		}
		for _, thread := range threads {
			slack, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
			switch {
			case os.IsPermission(err):
				t.Skip("only who may set it for others can read it")
			case os.IsNotExist(err): // the thread has ended
			case err != nil || strings.TrimSpace(string(slack)) != "1000000":
				t.Errorf("%s: a thread's slack is %s ns, %v", server.Name, slack, err)
			}
		}
	}
}
