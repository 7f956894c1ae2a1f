//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// TestHungDisk: a node whose disk does not answer is down within twice its ttl, and up again by itself. A
// FIFO that nobody reads stands where the canary is written: opening it hangs as a dead disk does.
func TestHungDisk(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 1})
	folder := t.TempDir()
	c.AddNode("--data-dir", folder, "--ttl", "1s")
	c.AwaitAssigned()
	status := func(want api.NodeStatus) func(context.Context) bool {
		return func(ctx context.Context) bool {
			node, err := c.Client.Node(ctx, "n1")
			return err == nil && node.Status == want
		}
	}
	file := filepath.Join(folder, "canary")
	if err := os.Rename(file, file+".good"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, "disk hung to node down", c.Await("the node to be down", status(api.NodeDown)), 4*time.Second)
	reader, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := os.Rename(file+".good", file); err != nil {
		t.Fatal(err)
	}
	within(t, "disk back to node up", c.Await("the node to be up", status(api.NodeUp)), 4*time.Second)
}

// TestFullDiskIsNoHungDisk: a node whose disk is merely full goes on being up.
func TestFullDiskIsNoHungDisk(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "disk")
	cluster.SmallDisk(t, folder, "64m")
	c := cluster.Start(t, cluster.Options{Members: 1})
	node := c.AddNode("--data-dir", folder, "--ttl", "1s")
	c.AwaitAssigned()
	cluster.FillDisk(t, folder)
	for full := time.Now(); time.Since(full) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
		if seen, err := c.Client.Node(t.Context(), "n1"); err != nil || seen.Status != api.NodeUp {
			t.Fatalf("on a full disk: %+v, %v", seen, err)
		}
	}
	cluster.FreeDisk(t, folder)
	node.Stop() // before the disk goes
}
