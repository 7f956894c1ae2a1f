package durable

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		write := func(text string) {
			if err := WriteFile(path, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		var reports []error
		read := func() (*string, error) {
			content, err := os.ReadFile(path)
			if text := string(content); err == nil && text == "broken" {
				return nil, errors.New(text)
			}
			text := string(content)
			return &text, err
		}
		if _, err := Reload([]string{path}, read, nil); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("without the file: %v", err)
		}
		write("one")
		r, err := Reload([]string{path}, read, func(err error) { reports = append(reports, err) })
		if err != nil {
			t.Fatal(err)
		}
		f := func(want string, reported int) {
			t.Helper()
			if got := *r.Get(); got != want || len(reports) != reported {
				t.Errorf("got %q, want %q; reports %v", got, want, reports)
			}
		}
		f("one", 0)
		write("two")
		f("one", 0) // looked at a moment ago
		time.Sleep(lookEvery)
		f("two", 1)
		write("broken")
		time.Sleep(lookEvery)
		f("two", 2)
		time.Sleep(lookEvery)
		f("two", 2) // said once
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		f("two", 3)
		write("three")
		time.Sleep(lookEvery)
		f("three", 4)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil { // nobody writes to it: who reads it waits for ever
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		f("three", 5)
		write("four")
		time.Sleep(lookEvery)
		f("four", 6)
		if reports[0] != nil || reports[1] == nil || reports[2] == nil || reports[3] != nil {
			t.Errorf("reports %v", reports)
		}
	})
}
