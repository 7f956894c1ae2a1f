package history

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func open(t *testing.T, path string) *Recorder {
	t.Helper()
	r, err := Open(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func begin(t *testing.T, r *Recorder, kind Kind) Operation {
	t.Helper()
	o, ok := r.Begin(Operation{Key: r.Key(0), Kind: kind})
	if !ok {
		t.Fatal("a new key takes nothing")
	}
	return o
}

// TestKeysAreBounded: a key is left after so many operations, or so many without an answer; refused ones count
// for nothing.
func TestKeysAreBounded(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "journal"))
	defer r.Close()
	for range 2 * OpenMax {
		r.Refused(begin(t, r, Put).ID)
	}
	first := r.Key(0)
	for range OperationsMax {
		r.Answered(begin(t, r, Put).ID, Answer{})
	}
	second := r.Key(0)
	if second == first || len(r.Of(first)) != OperationsMax {
		t.Fatalf("%s took %d operations", first, len(r.Of(first)))
	}
	if _, ok := r.Begin(Operation{Key: first, Kind: Get}); ok {
		t.Error("a key that was left takes more")
	}
	for range OpenMax {
		r.Unknown(begin(t, r, Put).ID)
	}
	third := r.Key(0)
	if third == second || len(r.Of(second)) != OpenMax {
		t.Fatalf("%s took %d operations", second, len(r.Of(second)))
	}
	r.Unknown(begin(t, r, Get).ID)
	if got := r.Of(third); len(got) != 0 {
		t.Errorf("a read without an answer was kept: %v", got)
	}
	if names, next := r.Retired(0); !slices.Equal(names, []string{first, second}) || next != 2 {
		t.Errorf("left were %v", names)
	}
	if o := r.BeginLast(Operation{Key: first, Kind: Get}); o.Key != first {
		t.Error("a key that was left is not read at the end")
	}
}

// TestJournal: a recorder made of another's journal, cut short, knows the same operations; those under way
// stay open, and new ones come later.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	r := open(t, path)
	answered, refused, unknown, running := begin(t, r, Put), begin(t, r, Put), begin(t, r, Swap), begin(t, r, Delete)
	r.Answered(answered.ID, Answer{Tag: "1"})
	r.Refused(refused.ID)
	r.Unknown(unknown.ID)
	want := r.Of(running.Key)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(content, `{"begin":{"id":9`...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds what the first added
		r = open(t, path)
		got := r.Of(running.Key)
		if len(got) != 3 || !slices.EqualFunc(got, want, func(a, b Operation) bool { return a.String() == b.String() && a.Call == b.Call }) {
			t.Fatalf("%v became %v", want, got)
		}
		next := begin(t, r, Put)
		if next.Key == running.Key || next.ID <= running.ID || next.Call <= got[2].Call {
			t.Errorf("%+v came after %+v", next, got[2])
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilled: what was begun is in the file before Begin returns.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	killed := open(t, path)
	o := begin(t, killed, Put)
	r := open(t, path)
	defer r.Close()
	if got := r.Of(o.Key); len(got) != 1 || got[0].Value != o.Value {
		t.Errorf("%v is left of %v", got, o)
	}
	if next := begin(t, r, Put); next.Value == o.Value {
		t.Errorf("%s was written twice", o.Value)
	}
}
