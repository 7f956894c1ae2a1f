package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeNode is a cluster of one node that holds a text for each slot, and falters now and then.
type fakeNode struct {
	t      *testing.T
	server *httptest.Server
	view   *ring.View

	mu     sync.Mutex
	texts  map[string]string
	asked  int
	falter func(asked int, r *http.Request) *api.Problem // nil: never
}

func newFakeNode(t *testing.T, change func(*api.Settings)) *fakeNode {
	t.Helper()
	f := &fakeNode{t: t, texts: make(map[string]string)}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() { f.server.Close() })
	settings := api.Settings{
		Service: "kv", State: api.StateManaged, Keys: []string{"header:X"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("5a", 16),
	}
	change(&settings)
	table := ring.NewTable(api.ClusterID(strings.Repeat("0a", 16)), ring.Bits(settings.SlotBits), 1)
	table.Version = api.Version{Generation: 1, Number: 1}
	table.Nodes = []ring.Node{{ID: "n1", Address: f.server.Listener.Addr().String(), Status: ring.StatusUp}}
	for slot := range table.Epochs {
		table.Epochs[slot], table.Owners[slot] = 4, 0
	}
	var err error
	if f.view, err = ring.NewView(settings, table); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fakeNode) Ring(context.Context) (*ring.View, error) { return f.view, nil }

func (f *fakeNode) config() Config {
	return Config{
		Cluster: f, Scheme: "http", Actor: "ann", Now: func() time.Time { return time.Unix(1, 0) },
		Node: func(api.NodeID) *http.Transport { return &http.Transport{} },
	}
}

func (f *fakeNode) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.falter != nil {
		if problem := f.falter(f.asked, r); problem != nil {
			problem.WriteTo(w)
			return
		}
	}
	slot := strings.Split(r.URL.Path, "/")[3]
	text, held := f.texts[slot]
	switch {
	case r.Header.Get(api.HeaderActor) != "ann":
		api.NewProblem(api.CodeForbidden, "").WriteTo(w)
	case r.Method == http.MethodGet:
		w.Header().Set(api.HeaderEpoch, "4")
		w.Header().Set(api.HeaderSeq, fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	case held && r.URL.Query().Get("over") != "true":
		api.NewProblem(api.CodeConflict, "not empty").WriteTo(w)
	default:
		whole, _ := io.ReadAll(r.Body)
		f.texts[slot] = string(whole)
		w.WriteHeader(http.StatusNoContent)
	}
}

// reset begins to count requests anew, and says how the node falters. Those that nobody waits for any more have
// ended, or never come: they are for an address where nobody listens now.
func (f *fakeNode) reset(falter func(int, *http.Request) *api.Problem) {
	f.server.Close()
	f.falter, f.asked = falter, 0
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	f.view.Table.Nodes[0].Address = f.server.Listener.Addr().String()
}

// requests is how many came since.
func (f *fakeNode) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// breakOff refuses for good from one request on.
func breakOff(after int) func(int, *http.Request) *api.Problem {
	return func(asked int, _ *http.Request) *api.Problem {
		if asked > after {
			return api.NewProblem(api.CodeInternal, "the disk is gone")
		}
		return nil
	}
}

// about reports whether only those requests were repeated that were on their way when the first run broke off.
func about(asked, want int) bool { return asked >= want && asked < want+ParallelDefault }

// TestBackupAndRestore: broken off and taken up again, both ways; what comes back is what there was.
func TestBackupAndRestore(t *testing.T) {
	from := newFakeNode(t, func(*api.Settings) {})
	for slot := range 100 {
		from.texts[fmt.Sprint(slot)] = strings.Repeat("x", slot+1)
	}
	path := filepath.Join(t.TempDir(), "backup")
	from.reset(breakOff(50))
	if _, err := Take(t.Context(), from.config(), path); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Fatalf("broken off: %v", err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "not complete") {
		t.Errorf("a part passes for the whole: %v", err)
	}
	from.reset(nil)
	manifest, err := Take(t.Context(), from.config(), path)
	if err != nil || len(manifest.Slots) != 256 || !about(from.requests(), 256-50) {
		t.Fatalf("taken up again: %v, %d slots after %d requests", err, len(manifest.Slots), from.requests())
	}
	if slot := manifest.Slots[9]; slot.Slot != 9 || slot.Epoch != 4 || slot.Seq != 10 || slot.Bytes != 10 {
		t.Errorf("slot 9: %+v", slot)
	}
	if _, err := Take(t.Context(), from.config(), path); !errors.Is(err, ErrComplete) {
		t.Errorf("over a complete one: %v", err)
	}

	to := newFakeNode(t, func(*api.Settings) {})
	to.reset(breakOff(30))
	if _, err := Restore(t.Context(), to.config(), path, false); err == nil {
		t.Fatal("it went through")
	}
	to.reset(nil)
	progress, err := Restore(t.Context(), to.config(), path, false)
	if err != nil || progress.Before == 0 || progress.Done != 100 || progress.Total != 100 || !about(to.requests(), 70) {
		t.Fatalf("%v, %+v after %d requests", err, progress, to.requests())
	}
	for slot, text := range from.texts {
		if to.texts[slot] != text {
			t.Errorf("slot %s came back with %d octets, not %d", slot, len(to.texts[slot]), len(text))
		}
	}
	if _, err := Restore(t.Context(), to.config(), path, false); api.CodeOf(err) != api.CodeConflict {
		t.Errorf("over what is there: %v", err)
	}
	if progress, err := Restore(t.Context(), to.config(), path, true); err != nil || progress.Total != 256 {
		t.Errorf("over what is there, as asked: %v, %+v", err, progress)
	}
}

// TestTakeRefuses folders in which there is something else, and leaves them as they are.
func TestTakeRefuses(t *testing.T) {
	f := newFakeNode(t, func(*api.Settings) {})
	run := func(name, content, want string) {
		t.Helper()
		path := t.TempDir()
		file := filepath.Join(path, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Take(t.Context(), f.config(), path); err == nil || !strings.Contains(err.Error(), want) || f.requests() != 0 {
			t.Errorf("beside %s: %v after %d requests, want %q", name, err, f.requests(), want)
		}
		held, err := os.ReadDir(path)
		if err != nil || len(held) != 1 {
			t.Errorf("beside %s: %v, %d files", name, err, len(held))
		}
		if left, err := os.ReadFile(file); err != nil || string(left) != content {
			t.Errorf("%s holds %q: %v", name, left, err)
		}
	}
	run("thesis.txt", "forty pages", "holds no backup to go on with: there is thesis.txt")
	run("00007.state", "of a backup without its manifest", "holds no backup to go on with")
	run(manifestName, `{"name": "an extension of a browser"}`, "layout 0")
	run(manifestName, `{"layout": 1, "cluster": "0b"}`, "a part of a backup of cluster 0b")
}

// TestABackupGoesOnThatWasBrokenOffAtOnce: what it left behind is known for its own.
func TestABackupGoesOnThatWasBrokenOffAtOnce(t *testing.T) {
	f := newFakeNode(t, func(*api.Settings) {})
	path := t.TempDir()
	f.reset(func(int, *http.Request) *api.Problem {
		held, err := os.ReadFile(filepath.Join(path, manifestName))
		if err != nil || !strings.Contains(string(held), `"slots": []`) {
			t.Errorf("asked for a slot, and the manifest is %q: %v", held, err)
		}
		return api.NewProblem(api.CodeInternal, "the disk is gone")
	})
	if _, err := Take(t.Context(), f.config(), path); err == nil {
		t.Fatal("it went through")
	}
	f.reset(nil)
	if manifest, err := Take(t.Context(), f.config(), path); err != nil || len(manifest.Slots) != 256 {
		t.Errorf("%v, %d slots", err, len(manifest.Slots))
	}
}

// TestAnotherGenerationBeginsAnew: the cluster may be one that was made again from its snapshot, with empty nodes.
func TestAnotherGenerationBeginsAnew(t *testing.T) {
	f := newFakeNode(t, func(*api.Settings) {})
	f.texts["7"], f.texts["200"] = "seven", "two hundred"
	path := t.TempDir()
	if _, err := Take(t.Context(), f.config(), path); err != nil {
		t.Fatal(err)
	}
	f.reset(breakOff(100))
	if _, err := Restore(t.Context(), f.config(), path, true); err == nil {
		t.Fatal("it went through")
	}
	f.reset(nil)
	f.texts = make(map[string]string)
	f.view.Table.Version.Generation++
	if progress, err := Restore(t.Context(), f.config(), path, false); err != nil || progress.Before != 0 || f.texts["7"] != "seven" {
		t.Errorf("%v, %+v, slot 7 holds %q", err, progress, f.texts["7"])
	}
}

// TestMovingSlotsAreWaitedFor: a slot that is on its way is looked up again.
func TestMovingSlotsAreWaitedFor(t *testing.T) {
	f := newFakeNode(t, func(*api.Settings) {})
	f.falter = func(asked int, _ *http.Request) *api.Problem {
		if asked == 3 {
			return api.NewProblem(api.CodeNotOwner, "")
		}
		return nil
	}
	path := t.TempDir()
	manifest, err := Take(t.Context(), f.config(), path)
	if err != nil || len(manifest.Slots) != 256 || f.asked != 257 {
		t.Errorf("%v, %d slots after %d requests", err, len(manifest.Slots), f.asked)
	}
}

// TestAPutOfUnknownOutcomeIsRepeated over what it may have left.
func TestAPutOfUnknownOutcomeIsRepeated(t *testing.T) {
	f := newFakeNode(t, func(*api.Settings) {})
	f.texts["7"] = "seven"
	path := t.TempDir()
	if _, err := Take(t.Context(), f.config(), path); err != nil {
		t.Fatal(err)
	}
	delete(f.texts, "7")
	f.asked = 0
	f.falter = func(asked int, _ *http.Request) *api.Problem {
		if asked == 1 {
			f.texts["7"] = "a part"
			return api.NewProblem(api.CodeOutcomeUnknown, "")
		}
		return nil
	}
	if _, err := Restore(t.Context(), f.config(), path, false); err != nil || f.texts["7"] != "seven" {
		t.Errorf("%v, slot 7 holds %q", err, f.texts["7"])
	}
}

// TestRestoreRefuses what would put keys where nobody finds them, and files that are not what was backed up.
func TestRestoreRefuses(t *testing.T) {
	from := newFakeNode(t, func(*api.Settings) {})
	from.texts["7"] = "seven"
	path := t.TempDir()
	if _, err := Take(t.Context(), from.config(), path); err != nil {
		t.Fatal(err)
	}
	run := func(want string, change func(*api.Settings)) {
		t.Helper()
		to := newFakeNode(t, change)
		if _, err := Restore(t.Context(), to.config(), path, true); err == nil || !strings.Contains(err.Error(), want) || to.asked != 0 {
			t.Errorf("%v after %d requests, want %q", err, to.asked, want)
		}
	}
	run("another hash key", func(s *api.Settings) { s.HashKey = strings.Repeat("5b", 16) })
	run("2^9", func(s *api.Settings) { s.SlotBits++ })
	run("service", func(s *api.Settings) { s.Service = "sessions" })
	if _, err := Restore(t.Context(), from.config(), t.TempDir(), true); err == nil || !strings.Contains(err.Error(), "holds no backup") {
		t.Errorf("from an empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(path, "00007.state"), []byte("eleven"), 0o600); err != nil {
		t.Fatal(err)
	}
	from.reset(nil)
	if _, err := Restore(t.Context(), from.config(), path, true); err == nil || !strings.Contains(err.Error(), "altered") || from.requests() != 0 {
		t.Errorf("from an altered file: %v, after %d requests", err, from.requests())
	}
}
