package routing

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

var keyRules = []string{"header:X-Shard-Key", "path:/kv/{key}"}

// viewOf makes a ring of one node at a version of a cluster.
func viewOf(t *testing.T, cluster string, generation, number uint64, keys ...string) *ring.View {
	t.Helper()
	table := ring.NewTable(api.ClusterID(strings.Repeat(cluster, 32)), 8, 1)
	table.Version = api.Version{Generation: generation, Number: number}
	table.Nodes = []ring.Node{
		{ID: "n1", Address: "127.0.0.1:1", Status: ring.StatusUp},
		{ID: "n2", Address: "127.0.0.1:2", Status: ring.StatusSuspect},
	}
	for slot := range table.Epochs {
		table.Epochs[slot], table.Owners[slot] = api.Epoch(number), 0
	}
	if keys == nil {
		keys = keyRules
	}
	view, err := ring.NewView(api.Settings{
		Service: "test", State: api.StateNone, Keys: keys, NoKey: api.NoKeyReject,
		SlotBits: 8, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("0f", 16),
	}, table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// scripted is a control plane that has one ring, or none, and then those sent to it.
type scripted struct {
	first *ring.View
	later chan *ring.View
}

func (s *scripted) Ring(context.Context) (*ring.View, error) {
	if s.first == nil {
		return nil, errors.New("no member answers")
	}
	return s.first, nil
}

func (s *scripted) Watch(ctx context.Context, _ *ring.View, onView func(*ring.View)) error {
	for {
		select {
		case view := <-s.later:
			onView(view)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func follow(t *testing.T, folder string, first *ring.View, expected ...string) (*Follower, *scripted, error) {
	t.Helper()
	control := &scripted{first: first, later: make(chan *ring.View)}
	f, err := Follow(t.Context(), Config{
		Control: control, DataDir: folder, KeyRules: expected, FirstWait: time.Second, Fatal: func(error) {}, Logger: slog.New(slog.DiscardHandler),
	})
	return f, control, err
}

func TestFollow(t *testing.T) {
	f, control, err := follow(t, "", viewOf(t, "a", 1, 5))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// offer sends a ring and tells which number is in force after it.
	offer := func(view *ring.View, want uint64) {
		t.Helper()
		before := f.Table()
		control.later <- view
		control.later <- before.View // it is taken in turn: the one before has been looked at
		table := f.Table()
		if got := table.View.Table.Version.Number; got != want {
			t.Errorf("ring %d is in force, want %d", got, want)
		}
		if superseded := table != before; superseded {
			select {
			case <-before.Superseded:
			default:
				t.Error("the old table does not say that it is superseded")
			}
		}
	}
	if table := f.Table(); len(table.Up) != 1 || table.Up[0].ID != "n1" || len(table.Rules) != 2 {
		t.Errorf("the table is %+v", table)
	}
	<-f.Arrived()
	offer(viewOf(t, "a", 1, 6), 6)
	offer(viewOf(t, "a", 1, 4), 6)
	offer(viewOf(t, "a", 0, 9), 6)
	offer(viewOf(t, "a", 2, 1), 1)
	offer(viewOf(t, "b", 3, 7), 1)
	offer(viewOf(t, "a", 2, 2, "claim:/user"), 1)
	offer(viewOf(t, "a", 2, 3, "query:tenant"), 3)
	if rule := f.Table().Rules[0]; rule.Source != api.KeyFromQuery {
		t.Errorf("rules did not change with the table: %+v", rule)
	}
}

// TestNack: why a ring is refused is told until one is taken.
func TestNack(t *testing.T) {
	routes := newRoutes(keyRules)
	f := func(view *ring.View, wantErr error, wantNumber uint64) {
		t.Helper()
		err := routes.offer(view, time.Time{})
		if !errors.Is(err, wantErr) || (err != nil) != (routes.Nack() != "") {
			t.Errorf("got %v, nack %q, want %v", err, routes.Nack(), wantErr)
		}
		if number := routes.Table().View.Table.Version.Number; number != wantNumber {
			t.Errorf("ring %d is in force, want %d", number, wantNumber)
		}
	}
	f(viewOf(t, "a", 1, 1), nil, 1)
	f(viewOf(t, "a", 1, 2, "query:tenant"), ErrOtherRules, 1)
	f(viewOf(t, "b", 1, 3), ErrOtherCluster, 1)
	f(viewOf(t, "a", 1, 4), nil, 4)
	f(viewOf(t, "a", 1, 5, slices.Concat(keyRules, []string{"query:x"})...), ErrOtherRules, 4)
	f(viewOf(t, "a", 1, 6), nil, 6)
	routes.expected = nil
	f(viewOf(t, "a", 1, 7, "claim:session"), ErrUnknownRules, 6)
	unknown := viewOf(t, "a", 1, 8)
	unknown.Settings.NoKey = "nearest"
	f(unknown, ErrUnknownRules, 6)
	sticky := viewOf(t, "a", 1, 9)
	sticky.Settings.NoKey = api.NoKeySticky
	f(sticky, nil, 9)
	if rules := routes.Table().Rules; len(rules) != 3 || rules[2] != (api.KeyRule{Source: api.KeyFromCookie, Name: api.KeyCookie}) {
		t.Errorf("sticky requests are read by %+v", rules)
	}
}

// blankOf makes the ring of a cluster before its first node.
func blankOf(t *testing.T, cluster string, number uint64) *ring.View {
	t.Helper()
	table := ring.NewTable(api.ClusterID(strings.Repeat(cluster, 32)), 8, 1)
	table.Version = api.Version{Generation: 1, Number: number}
	view, err := ring.NewView(viewOf(t, cluster, 1, number).Settings, table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// A proxy belongs to the first cluster with nodes that it meets: a fresh one becomes another when that one's
// snapshot is restored into it.
func TestFreshClusterBecomesAnother(t *testing.T) {
	folder := t.TempDir()
	first, _, err := follow(t, folder, blankOf(t, "a", 7))
	if err != nil {
		t.Fatal(err)
	}
	f := func(routes *Routes, view *ring.View, wantErr error, want string) {
		t.Helper()
		if err := routes.offer(view, time.Time{}); !errors.Is(err, wantErr) {
			t.Errorf("got %v, want %v", err, wantErr)
		}
		if got := routes.Table().View.Table.Cluster[:1]; string(got) != want {
			t.Errorf("routing by %s's ring, want %s's", got, want)
		}
	}
	f(first.Routes, viewOf(t, "b", 2, 3), nil, "b")
	f(first.Routes, blankOf(t, "a", 9), ErrOtherCluster, "b")
	f(first.Routes, viewOf(t, "c", 9, 9), ErrOtherCluster, "b")
	first.Close()

	if _, _, err := follow(t, folder, viewOf(t, "c", 9, 9)); !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), filepath.Join(folder, "ring")) {
		t.Errorf("kept on disk is b's: %v", err)
	}
	fresh := t.TempDir()
	if err := (&savedRing{folder: fresh}).store(blankOf(t, "a", 7)); err != nil {
		t.Fatal(err)
	}
	second, _, err := follow(t, fresh, viewOf(t, "b", 1, 3))
	if err != nil {
		t.Fatal(err)
	}
	f(second.Routes, viewOf(t, "b", 1, 2), nil, "b")
	second.Close()
}

func TestDisk(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(folder, "ring")
	numberOf := func(f *Follower) uint64 {
		if f.Table() == nil {
			return 0
		}
		return f.Table().View.Table.Version.Number
	}
	// run follows for a while and tells which ring is in force.
	run := func(first *ring.View, want uint64, later ...*ring.View) {
		t.Helper()
		f, control, err := follow(t, folder, first)
		if err != nil {
			t.Error(err)
			return
		}
		for _, view := range later {
			control.later <- view
		}
		f.Close()
		if got := numberOf(f); got != want {
			t.Errorf("ring %d is in force, want %d", got, want)
		}
	}
	run(nil, 0)
	run(viewOf(t, "a", 1, 5), 5)
	run(nil, 5)
	run(nil, 7, viewOf(t, "a", 1, 6), viewOf(t, "a", 1, 7))
	run(nil, 7)
	run(viewOf(t, "a", 1, 6), 7) // a member that lags
	run(viewOf(t, "a", 2, 1), 1) // a restored cluster
	run(nil, 1)
	if _, err := os.Stat(file + ".tmp"); err == nil {
		t.Error("a temporary file is left")
	}

	if _, _, err := follow(t, folder, viewOf(t, "b", 9, 9)); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("another cluster's ring: %v", err)
	}
	if _, _, err := follow(t, folder, nil, "query:tenant"); !errors.Is(err, ErrOtherRules) {
		t.Errorf("other rules, from disk alone: %v", err)
	}
	if _, _, err := follow(t, folder, viewOf(t, "a", 2, 2), "query:tenant"); !errors.Is(err, ErrOtherRules) {
		t.Errorf("other rules: %v", err)
	}
	if f, _, err := follow(t, folder, viewOf(t, "a", 2, 3, "query:tenant"), "query:tenant"); err != nil || numberOf(f) != 3 {
		t.Errorf("rules that changed while the proxy was down: %v", err)
	} else {
		f.Close()
	}

	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty": nil, "truncated": whole[:len(whole)/2], "altered": append([]byte{'X'}, whole[1:]...), "garbage": []byte("not a ring"),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, _, err := follow(t, folder, nil)
		if err != nil || f.Table() != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f.Close()
	}
	run(viewOf(t, "a", 2, 8), 8)
	run(nil, 8)
}

// While slots move there are many rings a second. The disk sees one a second, and the last.
func TestDiskIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		f, control, err := follow(t, folder, viewOf(t, "a", 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		const rings, every = 100, 20 * time.Millisecond
		writes, before := 0, os.FileInfo(nil)
		for i := range rings {
			control.later <- viewOf(t, "a", 1, uint64(2+i))
			time.Sleep(every)
			synctest.Wait()
			if now, err := os.Stat(f.saved.path()); err == nil && (before == nil || !os.SameFile(before, now)) {
				writes, before = writes+1, now
			}
		}
		if most := int(rings*every/saveEvery) + 1; writes == 0 || writes > most {
			t.Errorf("%d rings in %v were written %d times, want %d at most", rings, rings*every, writes, most)
		}
		f.Close()
		if saved, err := f.saved.load(); err != nil || saved.Table.Version.Number != 1+rings {
			t.Errorf("the last ring is not on disk: %v, %v", saved.Table.Version, err)
		}
	})
}
