package consensus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// journal is a Machine that remembers its entries.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) Apply(_ uint64, entry []byte) any {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, string(entry))
	return len(j.entries)
}

func (j *journal) Snapshot() func(io.Writer) error {
	content := j.String()
	return func(w io.Writer) error { _, err := io.WriteString(w, content); return err }
}

func (j *journal) Restore(r io.Reader) error {
	content, err := io.ReadAll(r)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = strings.Fields(string(content))
	return err
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.entries, " ")
}

// member is a replica with its address and folder.
type member struct {
	*Replica
	id      api.MemberID
	journal *journal
	address string
}

// group is replicas that find each other in a shared address book.
type group struct {
	t      *testing.T
	dir    string
	mu     sync.Mutex
	book   map[api.MemberID]string
	opened []*member
}

func newGroup(t *testing.T) *group {
	g := &group{t: t, dir: t.TempDir(), book: make(map[api.MemberID]string)}
	t.Cleanup(func() {
		for _, member := range g.opened {
			if err := member.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return g
}

func (g *group) resolve(id api.MemberID) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if address, known := g.book[id]; known {
		return address, nil
	}
	return "", errors.New("not in the book")
}

func (g *group) open(id api.MemberID, address string, founders ...api.MemberID) *member {
	g.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		g.t.Fatal(err)
	}
	m := &member{id: id, journal: &journal{}, address: listener.Addr().String()}
	g.mu.Lock()
	g.book[id] = m.address
	g.mu.Unlock()
	if err := os.MkdirAll(filepath.Join(g.dir, string(id)), 0o700); err != nil {
		g.t.Fatal(err)
	}
	m.Replica, err = Open(Config{
		ID: id, DataDir: filepath.Join(g.dir, string(id)), Listener: listener,
		Dial: func(ctx context.Context, _ api.MemberID, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
		Resolve: g.resolve, Machine: m.journal, Logger: slog.New(slog.DiscardHandler),
		SnapshotInterval: time.Hour, SnapshotThreshold: 8192, TrailingLogs: 10240,
	}, founders)
	if err != nil {
		g.t.Fatal(err)
	}
	g.opened = append(g.opened, m)
	return m
}

func (g *group) await(what string, reached func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (g *group) propose(m *member, entry string) {
	g.t.Helper()
	g.await("the proposal of "+entry, func() bool {
		_, err := m.Propose([]byte(entry))
		if err != nil && !errors.Is(err, ErrNotLeader) {
			g.t.Fatal(err)
		}
		return err == nil
	})
}

func TestEntriesSurviveARestart(t *testing.T) {
	g := newGroup(t)
	m := g.open("c1", "127.0.0.1:0", "c1")
	g.propose(m, "a")
	g.propose(m, "b")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	again := g.open("c1", "127.0.0.1:0")
	g.await("the entries", func() bool { return again.journal.String() == "a b" })
	if servers, err := again.Servers(); err != nil || fmt.Sprint(servers) != "[{c1 true}]" {
		t.Fatalf("got %v, %v", servers, err)
	}
}

// TestStaleAddressesAreHarmless: of five members two live, and the address book says that the other three
// are where the second is. It must not be counted four times, or two disks of five would commit.
func TestStaleAddressesAreHarmless(t *testing.T) {
	g := newGroup(t)
	founders := []api.MemberID{"c1", "c2", "c3", "c4", "c5"}
	first, second := g.open("c1", "127.0.0.1:0", founders...), g.open("c2", "127.0.0.1:0", founders...)
	third := g.open("c3", "127.0.0.1:0", founders...)
	g.await("a leader", func() bool { return first.IsLeader() || second.IsLeader() || third.IsLeader() })
	if !first.IsLeader() {
		for _, other := range []*member{second, third} {
			_ = other.TransferLeadership("c1") // fails on the one that does not lead
		}
	}
	g.await("the first to lead", first.IsLeader)
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.book["c3"], g.book["c4"], g.book["c5"] = second.address, second.address, second.address
	g.mu.Unlock()
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, m := range []*member{first, second} {
			if _, err := m.Propose([]byte("x")); err == nil {
				t.Fatal("two of five members committed an entry")
			}
		}
	}
}

// TestFollowerFarBehindGetsASnapshot: what the log no longer holds comes as a snapshot, and a restart
// begins from one.
func TestFollowerFarBehindGetsASnapshot(t *testing.T) {
	g := newGroup(t)
	founders := []api.MemberID{"c1", "c2", "c3"}
	members := map[api.MemberID]*member{}
	for _, id := range founders {
		members[id] = g.open(id, "127.0.0.1:0", founders...)
	}
	leader := func() (found *member) {
		g.await("a leader", func() bool {
			for _, m := range members {
				if m.IsLeader() {
					found = m
				}
			}
			return found != nil
		})
		return found
	}
	g.propose(leader(), "first")
	var behind api.MemberID
	for id, m := range members {
		if m != leader() {
			behind = id
		}
	}
	if err := members[behind].Close(); err != nil {
		t.Fatal(err)
	}
	delete(members, behind)
	for i := range 50 {
		g.propose(leader(), fmt.Sprint(i))
	}
	want := leader().journal.String()
	for id, m := range members {
		if err := m.raft.ReloadConfig(raft.ReloadableConfig{SnapshotInterval: time.Hour, SnapshotThreshold: 1, TrailingLogs: 1, HeartbeatTimeout: heartbeatTimeout, ElectionTimeout: electionTimeout}); err != nil {
			t.Fatal(err)
		}
		g.await("the follower to apply", func() bool { return m.journal.String() == want })
		if err := m.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		members[id] = g.open(id, "127.0.0.1:0")
		g.await("the state after a restart", func() bool { return strings.HasPrefix(want, members[id].journal.String()) })
	}
	again := g.open(behind, "127.0.0.1:0")
	g.await("the snapshot", func() bool { return again.journal.String() == want })
	members[behind] = again
	g.propose(leader(), "last")
	g.await("the next entry", func() bool { return again.journal.String() == want+" last" })
}

func TestGreetingIsChecked(t *testing.T) {
	g := newGroup(t)
	m := g.open("c1", "127.0.0.1:0", "c1")
	f := func(bytes string) {
		t.Helper()
		conn, err := net.Dial("tcp", m.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, bytes)
		if answer, err := io.ReadAll(conn); len(answer) > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%q: got %q, %v", bytes, answer, err)
		}
	}
	f("GET / HTTP/1.1\r\n\r\n")
	f("stead-raft/1 c2\n\x00")
	f("stead-raft/1 " + strings.Repeat("x", 1000))
	f("\x00\x00\x00\x00\n")
	g.propose(m, "still")
}

// TestGreetingOfNobody: a connection that ends before a word was said is no error worth a line in the
// log, which Raft writes for all but io.EOF itself.
func TestGreetingOfNobody(t *testing.T) {
	near, far := net.Pipe()
	_ = far.Close()
	conn := &greetedConn{Conn: near, reader: bufio.NewReader(near), self: "c1"}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want io.EOF", err)
	}
}

func TestLinearizeNeedsTheBarrier(t *testing.T) {
	g := newGroup(t)
	m := g.open("c1", "127.0.0.1:0", "c1")
	g.await("leadership", m.IsLeader)
	reached := func(context.Context, uint64) error { return nil }
	if err := m.Linearize(t.Context(), reached); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("before the barrier: %v", err)
	}
	if err := m.Barrier(); err != nil {
		t.Fatal(err)
	}
	if err := m.Linearize(t.Context(), reached); err != nil {
		t.Fatal(err)
	}
}
