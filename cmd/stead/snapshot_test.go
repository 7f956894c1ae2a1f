package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

// level1 is a snapshot that the first version wrote.
const level1 = "../../controlplane/fsm/testdata/snapshot/level1.snapshot"

func TestSnapshotInspect(t *testing.T) {
	whole, err := os.ReadFile(level1)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	f := func(content []byte, code int, want string) {
		t.Helper()
		path := filepath.Join(folder, "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if got := run([]string{"snapshot", "inspect", path}, &stdout, &stderr); got != code || !strings.Contains(stdout.String()+stderr.String(), want) {
			t.Errorf("code %d, want %d and %q in\n%s%s", got, code, want, &stdout, &stderr)
		}
	}
	f(whole, exitDone, "OK")
	f(whole[:len(whole)-10], exitFailed, "it is cut short after")
	f(append(bytes.Clone(whole), "more"...), exitFailed, "and 4 more follow")
	f(bytes.Replace(whole, []byte(`"n1"`), []byte(`"x1"`), 1), exitFailed, "they are altered")
	f([]byte("hello"), exitFailed, "no header")

	var stdout, stderr bytes.Buffer
	var facts api.SnapshotFacts
	if code := run([]string{"snapshot", "inspect", level1, "-o", "json"}, &stdout, &stderr); code != exitDone {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), &facts); err != nil || facts.Nodes != 2 || facts.Slots != 256 || facts.Level != 1 || facts.Change != 4 {
		t.Errorf("%+v, %v", facts, err)
	}
	if facts.Settings.HashKey != "" {
		t.Error("the hash key is printed")
	}
}

func TestRecoverRefuses(t *testing.T) {
	f := func(code int, want string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		got := run(append([]string{"control", "recover"}, args...), &stdout, &stderr)
		if got != code || !strings.Contains(stderr.String(), want) {
			t.Errorf("code %d, want %d and %q in %s", got, code, want, &stderr)
		}
	}
	f(exitUsage, "--name and --data-dir")
	f(exitUsage, "--name and --data-dir", "--name", "c1")
	f(exitFailed, "is no folder of a member", "--name", "c1", "--data-dir", t.TempDir(), "--yes")
}
