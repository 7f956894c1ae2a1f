package consensus

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stead-io/stead/api"
)

// TestDivergentFollowerTakesASnapshot: a follower whose log differs from the leader's where the leader's
// log begins only after that point gets a snapshot, and must drop its own entries with it. Without
// logStore it keeps them, finds that they do not match what follows the snapshot, and is sent the
// snapshot again, for ever (hashicorp/raft issue 697).
func TestDivergentFollowerTakesASnapshot(t *testing.T) {
	g := newGroup(t)
	founders := []api.MemberID{"c1", "c2", "c3"}
	g.diverge("c3", founders, 60)
	first, second := g.open("c1", "127.0.0.1:0", founders...), g.open("c2", "127.0.0.1:0", founders...)
	g.await("a leader", func() bool { return first.IsLeader() || second.IsLeader() })
	leader := func() *member {
		if second.IsLeader() {
			return second
		}
		return first
	}
	for i := range 20 {
		g.propose(leader(), fmt.Sprint(i))
	}
	want := leader().journal.String()
	for _, m := range []*member{first, second} { // either may lead when the third comes
		g.await("the entries", func() bool { return m.journal.String() == want })
		if err := m.raft.ReloadConfig(raft.ReloadableConfig{
			SnapshotInterval: time.Hour, SnapshotThreshold: 1, TrailingLogs: 1,
			HeartbeatTimeout: heartbeatTimeout, ElectionTimeout: electionTimeout,
		}); err != nil {
			t.Fatal(err)
		}
		if err := m.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	third := g.open("c3", "127.0.0.1:0")
	g.await("the divergent follower to have the leader's state", func() bool { return third.journal.String() == want })
	g.propose(leader(), "after")
	g.await("it to follow on", func() bool { return third.journal.String() == want+" after" })
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	again := g.open("c3", "127.0.0.1:0")
	g.await("the same after a restart", func() bool { return again.journal.String() == want+" after" })
}

// diverge writes a member's log as a leader of term 1 would have left it that nobody else heard of: the
// founding configuration, and then entries of its own.
func (g *group) diverge(id api.MemberID, founders []api.MemberID, entries int) {
	g.t.Helper()
	folder := filepath.Join(g.dir, string(id))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		g.t.Fatal(err)
	}
	store, err := openStore(folder)
	if err != nil {
		g.t.Fatal(err)
	}
	logs := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(founding(founders))}}
	for i := range entries {
		logs = append(logs, &raft.Log{Index: uint64(i) + 2, Term: 1, Type: raft.LogCommand, Data: []byte("lost")})
	}
	if err := store.StoreLogs(logs); err != nil {
		g.t.Fatal(err)
	}
	if err := store.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		g.t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		g.t.Fatal(err)
	}
}
