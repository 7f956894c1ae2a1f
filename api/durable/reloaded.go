package durable

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how soon a replaced file is noticed, by whoever needs its content next.
const lookEvery = time.Second

// Reloaded is what some files say, read anew when somebody replaced one of them. New content that
// cannot be read leaves the old in force: a rotation that went wrong, or is half done, ends nothing. It
// is safe for concurrent use.
type Reloaded[T any] struct {
	files  []string
	read   func() (*T, error)
	report func(error)

	current atomic.Pointer[T]

	mu     sync.Mutex
	looked time.Time
	seen   []os.FileInfo // an entry is nil where the file was not there
}

// Reload reads the files for the first time. Get tells report of replacements: nil for one that is in
// force from now on, else why it is not.
func Reload[T any](files []string, read func() (*T, error), report func(error)) (*Reloaded[T], error) {
	r := &Reloaded[T]{files: files, read: read, report: report, looked: time.Now(), seen: stat(files)}
	first, err := read()
	if err != nil {
		return nil, err
	}
	r.current.Store(first)
	return r, nil
}

// Get is what the files say, at most a second ago.
func (r *Reloaded[T]) Get() *T {
	if r.mu.TryLock() { // another caller looks already: what stands will do
		defer r.mu.Unlock()
		r.look(time.Now())
	}
	return r.current.Load()
}

func (r *Reloaded[T]) look(now time.Time) {
	if now.Sub(r.looked) < lookEvery {
		return
	}
	r.looked = now
	found := stat(r.files)
	if slices.EqualFunc(found, r.seen, sameFile) {
		return
	}
	r.seen = found // as they were before reading: what changes meanwhile is noticed next time
	var fresh *T
	err := checkRegular(r.files, found)
	if err == nil {
		fresh, err = r.read()
	}
	if err != nil {
		r.report(fmt.Errorf("cannot use the files as they are now: %w", err))
		return
	}
	r.current.Store(fresh)
	r.report(nil)
}

// CheckRegular refuses files that are none, for whoever reads them while others wait: reading a pipe may take for
// ever. At the start that is whose command it was to wait for. One that is not there is left to its reader.
func CheckRegular(files ...string) error { return checkRegular(files, stat(files)) }

func checkRegular(files []string, found []os.FileInfo) error {
	for i, info := range found {
		if info != nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", files[i])
		}
	}
	return nil
}

func stat(files []string) []os.FileInfo {
	infos := make([]os.FileInfo, len(files))
	for i, path := range files {
		if info, err := os.Stat(path); err == nil {
			infos[i] = info
		}
	}
	return infos
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
