package controlplane

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/peers"
)

func rebirthNow() fsm.Rebirth { return fsm.Rebirth{Kind: "restore", Time: time.Now()} }

// TestRecover: one member of three goes on alone; the others, started again, end by themselves.
func TestRecover(t *testing.T) {
	c := newCluster(t)
	for i := range 2 {
		call(t, c.leading(), "POST", "/v1/nodes", registration(fmt.Sprintf("n%d", i), 9000+i), nil)
	}
	c.await("all to have both nodes", func() bool {
		for _, member := range c.members {
			if len(member.State().SlotsHeld()) != 2 {
				return false
			}
		}
		return true
	})
	before := c.leading().State()
	how := RecoverConfig{DataDir: filepath.Join(c.folder, "c1"), Name: "c1", Actor: "ann", Logger: slog.New(slog.DiscardHandler)}
	if _, err := Recover(how); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("while it runs: %v", err)
	}
	for i := range c.members {
		c.stop(i)
	}
	for _, wrong := range []RecoverConfig{
		{DataDir: how.DataDir, Name: "c2", Logger: how.Logger},
		{DataDir: filepath.Join(c.folder, "c9"), Name: "c9", Logger: how.Logger},
		{DataDir: c.folder, Name: "c1", Logger: how.Logger},
	} {
		if _, err := Recover(wrong); err == nil {
			t.Errorf("recovered %+v", wrong)
		}
	}
	how.DryRun = true
	if found, err := Recover(how); err != nil || len(found.Members) != 3 || found.LastIndex < before.Index || found.LastTerm == 0 {
		t.Fatalf("a look at it: %+v, %v", found, err)
	}
	how.DryRun = false
	done, err := Recover(how)
	if err != nil || done.To.Generation != 2 || done.Cluster != before.Cluster {
		t.Fatalf("%+v, %v", done, err)
	}
	if note, err := os.ReadFile(filepath.Join(how.DataDir, recoveredName)); err != nil || !strings.Contains(string(note), "previous_members") {
		t.Errorf("%s, %v", note, err)
	}
	alone := c.start(0)
	c.await("the one that is left to lead", alone.IsLeader)
	state := alone.State()
	change, problem := state.Change(before.NewestChange() + 1)
	if problem != nil || change.Kind != "recover" || !change.Lossy || state.Generation != 2 || len(state.SlotsHeld()) != 2 {
		t.Fatalf("history says %+v, %v", change, problem)
	}
	if status := call(t, alone, "POST", "/v1/nodes", registration("n9", 9009), nil); status != 201 {
		t.Errorf("a registration: %d", status)
	}
	for i := 1; i < 3; i++ {
		config := c.config(i)
		config.Join = []string{alone.APIAddr()}
		old, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		c.members[i] = old
	}
	for i := 1; i < 3; i++ {
		select {
		case <-c.members[i].Done():
			if err := c.members[i].Err(); !errors.Is(err, peers.ErrRecovered) {
				t.Errorf("member %d ended with %v", i, err)
			}
		case <-time.After(patience):
			t.Errorf("member %d of the old cluster goes on", i)
		}
	}
	if alone.Err() != nil || !alone.IsLeader() {
		t.Errorf("the recovered one: %v", alone.Err())
	}
}
