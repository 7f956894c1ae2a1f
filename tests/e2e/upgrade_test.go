//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/tests/cluster"
)

// previousRelease is the commit that members are upgraded from: the last of FSM level 1.
const previousRelease = "834d1e1"

// previousBinary builds the previous release from the repository's own history.
func previousBinary(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	script := fmt.Sprintf("git cat-file -e %[1]s^{commit} && git archive %[1]s | tar -x -C %[2]s", previousRelease, folder)
	archive := exec.Command("sh", "-c", script)
	archive.Dir = filepath.Join("..", "..")
	if output, err := archive.CombinedOutput(); err != nil {
		t.Skipf("commit %s is not in this clone, so there is nothing to upgrade from: %v %s", previousRelease, err, output)
	}
	binary := filepath.Join(folder, "stead-previous")
	build := exec.Command("go", "build", "-o", binary, "./cmd/stead")
	build.Dir = folder
	build.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", previousRelease, err, output)
	}
	return binary
}

// TestRollingUpgrade: members of the previous release are replaced by this one's, one after another,
// under load. Nothing acknowledged is lost; the level is raised only once all are new.
func TestRollingUpgrade(t *testing.T) {
	old := previousBinary(t)
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, Nodes: 1, Binary: old})
	l := startTraffic(t, c)
	for i := range c.Members {
		if output, err := steadTry(t, c, "cluster", "set", "level=2"); err == nil {
			t.Fatalf("level 2 with %d old members: %s", 3-i, output)
		}
		c.Members[i].Stop()
		c.Members[i].Upgrade(cluster.Binary(t))
		c.Members[i].Start()
		c.Await("the upgraded member", func(ctx context.Context) bool {
			got, err := try(ctx, "GET", "http://"+c.APIs[i]+"/readyz", nil)
			return err == nil && got.status == 200
		})
	}
	c.Await("all members to tell their level", func(ctx context.Context) bool {
		cluster, err := c.Client.Cluster(ctx)
		for _, member := range cluster.Members {
			if member.Level < 2 {
				return false
			}
		}
		return err == nil && cluster.Level == 1
	})
	if output, err := steadTry(t, c, "members", "add", "c4"); err == nil || !strings.Contains(output, "stead cluster set level=2") {
		t.Errorf("adding a member at level 1: %v %s", err, output)
	}
	stead(t, c, "cluster", "set", "level=2")
	c.AddMember("c4")
	stead(t, c, "members", "add", "c4", "--wait", "20s")
	l.check(30, 200)
	checkHistory(t, c, nil)
}
