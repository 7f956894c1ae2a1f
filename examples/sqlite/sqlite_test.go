package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

var (
	_ nodesvc.Durable = (*store)(nil)
	_ nodesvc.Viewer  = (*store)(nil)
	_ nodesvc.Checker = (*store)(nil)
)

func mustOpen(t testing.TB, folder string) *store {
	t.Helper()
	s, err := openStore(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// propose runs statements on a database of a store, as Update would have it.
func propose(t testing.TB, s *store, key string, statements ...string) []byte {
	t.Helper()
	before, err := s.file(context.Background(), 7, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	asked := make([]statement, len(statements))
	for i, text := range statements {
		asked[i].SQL = text
	}
	_, after, err := run(context.Background(), before, asked, false)
	if err != nil {
		t.Fatalf("%q: %v", statements, err)
	}
	return difference([]byte(key), before, after).append()
}

func mustApply(t testing.TB, s *store, records ...[]byte) {
	t.Helper()
	for _, record := range records {
		if _, err := s.Apply(7, record); err != nil {
			t.Fatal(err)
		}
	}
}

func stateOf(t testing.TB, s *store, slot api.Slot) []byte {
	t.Helper()
	var state bytes.Buffer
	if err := s.Snapshot(slot, &state); err != nil {
		t.Fatal(err)
	}
	return state.Bytes()
}

// wild statements are such as two replicas would not carry out alike.
func wild(random *rand.Rand) []string {
	all := []string{
		"INSERT INTO t (b, c) VALUES (random(), datetime('now'))",
		"INSERT INTO t (b, c) SELECT randomblob(abs(random()) % 3000), strftime('%f') FROM t LIMIT 5",
		"UPDATE t SET b = random() WHERE a IN (SELECT a FROM t ORDER BY random() LIMIT 3)",
		"DELETE FROM t WHERE a IN (SELECT a FROM t ORDER BY random() LIMIT 2)",
		"CREATE TABLE IF NOT EXISTS u AS SELECT random() AS r, CURRENT_TIMESTAMP AS s",
		"DROP TABLE IF EXISTS u",
		"CREATE INDEX IF NOT EXISTS i ON t (b)",
		"DROP INDEX IF EXISTS i",
	}
	statements := []string{"CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY AUTOINCREMENT, b, c)"}
	for range 1 + random.IntN(4) {
		statements = append(statements, all[random.IntN(len(all))])
	}
	return statements
}

// Whatever the statements, replicas that got the same records have the same files, octet by octet; so has one
// that began with a snapshot, and the files are whole.
func TestReplicasHaveTheSameFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	primary, backup, joined := mustOpen(t, t.TempDir()), mustOpen(t, t.TempDir()), mustOpen(t, t.TempDir())
	keys := []string{"acme", "emca", "\x00\xff"}
	for i := range 150 {
		record := propose(t, primary, keys[random.IntN(len(keys))], wild(random)...)
		mustApply(t, primary, record)
		mustApply(t, backup, record)
		if i > 75 {
			mustApply(t, joined, record)
		}
		if i == 75 {
			if err := joined.RestoreAt(7, 76, bytes.NewReader(stateOf(t, primary, 7))); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := sha256.Sum256(stateOf(t, primary, 7))
	for name, replica := range map[string]*store{"backup": backup, "joined": joined} {
		if sha256.Sum256(stateOf(t, replica, 7)) != want {
			t.Errorf("%s differs", name)
		}
		if seq, err := replica.Applied(7); seq != 150 || err != nil {
			t.Errorf("%s is as of %d, %v", name, seq, err)
		}
		for _, key := range keys {
			file, err := replica.file(context.Background(), 7, []byte(key))
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := run(context.Background(), file, []statement{{SQL: "PRAGMA integrity_check"}}, true)
			if err != nil || fmt.Sprint(got[0].Rows) != "[[ok]]" {
				t.Errorf("%s: %q: %v, %v", name, key, got, err)
			}
		}
	}
}

// A crash loses the end of the write-ahead log, never a part of a record: replaying the records behind those
// applied leads to the same files, and nothing that was synced is lost.
func TestReplayAfterCrash(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	folder := t.TempDir()
	s := mustOpen(t, folder)
	var records [][]byte
	for range 40 {
		records = append(records, propose(t, s, "acme", wild(random)...))
		mustApply(t, s, records[len(records)-1])
		if len(records) == 20 {
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := stateOf(t, s, 7)
	main, err := os.ReadFile(filepath.Join(folder, "pages.db"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(folder, "pages.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		crashed := t.TempDir()
		kept := log[:random.IntN(len(log)+1)]
		if err := errors.Join(os.WriteFile(filepath.Join(crashed, "pages.db"), main, 0o600),
			os.WriteFile(filepath.Join(crashed, "pages.db-wal"), kept, 0o600)); err != nil {
			t.Fatal(err)
		}
		again := mustOpen(t, crashed)
		applied, err := again.Applied(7)
		if err != nil {
			t.Fatal(err)
		}
		mustApply(t, again, records[applied:]...)
		if !bytes.Equal(stateOf(t, again, 7), want) {
			t.Errorf("%d octets of the log kept, %d applied: another state", len(kept), applied)
		}
	}
}

func TestSnapshots(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	mustApply(t, s, propose(t, s, "acme", "CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(20000))"))
	whole := stateOf(t, s, 7)
	then, err := s.View(7)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, propose(t, s, "acme", "DROP TABLE t"), propose(t, s, "b", "CREATE TABLE t (a)"))
	var shown bytes.Buffer
	if written, err := then.WriteTo(&shown); err != nil || !bytes.Equal(shown.Bytes(), whole) || written != int64(len(whole)) {
		t.Errorf("the view moved: %d octets, not %d, %v", shown.Len(), len(whole), err)
	}
	if err := then.Close(); err != nil {
		t.Error(err)
	}
	for length := 0; length < len(whole); length += 1 + len(whole)/20 {
		before := stateOf(t, s, 7)
		if err := s.Check(7, bytes.NewReader(whole[:length])); !errors.Is(err, errSnapshot) || !bytes.Equal(stateOf(t, s, 7), before) {
			t.Errorf("cut at %d it passes, or changes something: %v", length, err)
		}
		if err := s.RestoreAt(8, 5, bytes.NewReader(whole[:length])); !errors.Is(err, errSnapshot) || errors.Is(err, nodesvc.ErrBroken) {
			t.Errorf("cut at %d: %v", length, err)
		}
		if seq, err := s.Applied(8); seq != 0 || err != nil || len(stateOf(t, s, 8)) != 10 {
			t.Errorf("cut at %d: something is left, as of %d, %v", length, seq, err)
		}
	}
	if err := s.Check(8, bytes.NewReader(append(bytes.Clone(whole), 0))); !errors.Is(err, errSnapshot) {
		t.Errorf("something behind the end: %v", err)
	}
	if err := s.Check(8, bytes.NewReader(whole)); err != nil {
		t.Errorf("the whole does not pass: %v", err)
	}
	if err := s.RestoreAt(8, 5, bytes.NewReader(whole)); err != nil || !bytes.Equal(stateOf(t, s, 8), whole) {
		t.Errorf("restored: %v", err)
	}
	if err := s.Drop(8); err != nil || len(stateOf(t, s, 8)) != 10 || bytes.Equal(stateOf(t, s, 7), whole) {
		t.Errorf("dropped: %v", err)
	}
}

func TestRun(t *testing.T) {
	f := func(want string, statements ...statement) {
		t.Helper()
		results, _, err := run(context.Background(), nil, statements, false)
		var problem *api.Problem
		if errors.As(err, &problem) {
			if text := fmt.Sprintf("%s %s: %s", problem.Code, problem.Field, problem.Detail); !strings.Contains(text, want) {
				t.Errorf("%v: %s, want %s", statements, text, want)
			}
			return
		}
		got, errJSON := json.Marshal(results)
		if err != nil || errJSON != nil || string(got) != want {
			t.Errorf("%v: %s, %v, want %s", statements, got, err, want)
		}
	}
	of := func(text string, args ...any) statement { return statement{SQL: text, Args: args} }
	table := of("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)")

	f(`[{"rows_affected":0},{"rows_affected":2,"last_insert_id":2},{"columns":["a","b"],"rows":[[1,"x"],[2,1.5]],"rows_affected":0}]`,
		table, of("INSERT INTO t (b) VALUES (?), (?)", "x", json.Number("1.5")), of("SELECT * FROM t"))
	f(`[{"columns":["a","b","c"],"rows":[[{"blob":"AP8="},null,9007199254740993]],"rows_affected":0}]`,
		of("SELECT ? AS a, ? AS b, ? AS c", map[string]any{"blob": "AP8="}, nil, json.Number("9007199254740993")))
	f(`[{"rows_affected":0},{"columns":["a"],"rows":[[1]],"rows_affected":1,"last_insert_id":1}]`,
		table, of("INSERT INTO t (b) VALUES (1) RETURNING a"))

	f("statements[0]", of("SELEC"))
	f("UNIQUE constraint", table, of("INSERT INTO t (b) VALUES (1)"), of("INSERT INTO t (b) VALUES (1)"))
	f("too many attached", of("ATTACH '/tmp/other.db' AS o"))
	f("invalid statements", of("COMMIT"))
	f("invalid statements", of("VACUUM INTO '/tmp/other.db'"))
	f("too many attached", of("COMMIT"), of("VACUUM INTO '/tmp/stead-must-not-be.db'"))
	f("pages would not be of 4096", of("PRAGMA page_size = 8192"), of("COMMIT"), of("CREATE TABLE t (a)"), of("BEGIN"))
	f("more than 10000 rows", of("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10001) SELECT i FROM n"))
	f("too_large", table, of("INSERT INTO t (b) VALUES (zeroblob(13000000))"))
	f("a list", of("SELECT ?", []any{}))
}

// Statements that never end are given up, and those that write are not run where they must not.
func TestRunIsBounded(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50_000_000)
	defer cancel()
	endless := statement{SQL: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n"}
	if _, _, err := run(ctx, nil, []statement{endless}, true); err == nil {
		t.Error("it ended")
	}
	_, file, err := run(context.Background(), nil, []statement{{SQL: "CREATE TABLE t (a)"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(context.Background(), file, []statement{{SQL: "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"}}, true); !errors.Is(err, errReadOnly) {
		t.Errorf("a write among reads: %v", err)
	}
}

// What a decoder takes, it has taken whole.
func FuzzRecord(f *testing.F) {
	f.Add(difference([]byte("acme"), nil, make([]byte, 2*pageSize)).append())
	f.Add(record{key: []byte("k"), pages: 3}.append())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := readRecord(raw)
		if err == nil && !bytes.Equal(r.append(), raw) {
			t.Fatalf("%d octets came back as others", len(raw))
		}
	})
}
