package kv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/nodesvc"
)

func TestDiskIsLocked(t *testing.T) {
	folder := t.TempDir()
	first := openServer(t, folder)
	config := testConfig(newSoloControl(), folder)
	if second, err := Open(config); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a second server got the folder: %v", err)
		if err == nil {
			_ = second.Close(context.Background())
		}
	}
	expect(t, "the first goes on", do(t, first, "PUT", "/kv/a", "x"), 201, "")
}

func TestFolderOfAnotherClusterIsRefused(t *testing.T) {
	folder := t.TempDir()
	own := openServer(t, folder)
	expect(t, "put", do(t, own, "PUT", "/kv/a", "x"), 201, "")
	if err := own.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	settings := testSettings()
	settings.HashKey = strings.Repeat("f", 32)
	view, err := soloRing(settings, api.ClusterID(strings.Repeat("f", 32)))
	if err != nil {
		t.Fatal(err)
	}
	control := newSoloControl()
	control.view = view
	server, err := Open(testConfig(control, folder))
	if err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if !errors.Is(server.Err(), nodesvc.ErrForeignFolder) {
		t.Errorf("it ended with %v", server.Err())
	}
	if err := server.Close(context.Background()); err != nil {
		t.Error(err)
	}
	select {
	case <-control.registered:
		t.Error("it registered with the other cluster")
	default:
	}
}

// Writers to different places share syncs; none is lost.
func TestConcurrentWritersOnDisk(t *testing.T) {
	folder := t.TempDir()
	server := openServer(t, folder)
	var all sync.WaitGroup
	for writer := range 16 {
		all.Go(func() {
			for i := range 20 {
				path := fmt.Sprintf("/kv/%d-%d", writer, i)
				if got, err := try(server, "PUT", path, strings.NewReader(path), "Stead-Key: acme"); err != nil || got.status != 201 {
					t.Errorf("%s: %v %v", path, got, err)
				}
			}
		})
	}
	all.Wait()
	if err := server.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := openServer(t, folder)
	for writer := range 16 {
		for i := range 20 {
			path := fmt.Sprintf("/kv/%d-%d", writer, i)
			if got := do(t, again, "GET", path, ""); got.body != path {
				t.Errorf("%s: %+v", path, got)
			}
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	run := func(want string, change func(*Config)) {
		t.Helper()
		config := testConfig(newSoloControl(), "")
		change(&config)
		if server, err := Open(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if server != nil {
				_ = server.Close(context.Background())
			}
		}
	}
	run("listen address", func(c *Config) { c.Listen = "nowhere" })
	run("loopback", func(c *Config) { c.Listen, c.Node.Advertise = "0.0.0.0:0", "127.0.0.1:1" })
	run("to advertise", func(c *Config) { c.Listen = "0.0.0.0:0" })
	run("neither disk nor memory", func(c *Config) { c.Store = "tape" })
	run("data folder", func(c *Config) { c.Store = StoreDisk })
	run("node id", func(c *Config) { c.Node.ID = "" })
}
