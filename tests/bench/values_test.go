//go:build bench && linux

package bench

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	valueSize = 16 << 10 // bytes
	loaders   = 32       // requests at once while values are loaded
	checked   = 1000     // values that are read after they moved
)

// values are what is moved: octets that do not compress, each value another.
type values struct {
	count int
	noise []byte
}

func newValues(size int64) values {
	v := values{count: max(1, int(size/valueSize)), noise: make([]byte, 2*valueSize)}
	_, _ = rand.Read(v.noise) // never fails
	return v
}

func (v values) size() int64 { return int64(v.count) * valueSize }

func keyOf(i int) string { return fmt.Sprintf("key-%d", i) }

// value is the one of a key's number.
func (v values) value(i int) []byte {
	value := bytes.Clone(v.noise[i%valueSize:][:valueSize])
	binary.BigEndian.PutUint64(value, uint64(i))
	return value
}

// load has put called for every value, by so many at once, and says how long that took.
func (v values) load(t testing.TB, put func(i int, value []byte) error) time.Duration {
	t.Helper()
	start := time.Now()
	v.each(t, v.count, func(i int) error { return put(i, v.value(i)) })
	return time.Since(start)
}

// check has get called for some values, and compares what it answers.
func (v values) check(t testing.TB, get func(i int) ([]byte, error)) {
	t.Helper()
	stride := max(1, v.count/checked)
	v.each(t, v.count/stride, func(n int) error {
		i := n * stride
		got, err := get(i)
		if err == nil && !bytes.Equal(got, v.value(i)) {
			err = fmt.Errorf("%s is not what was written", keyOf(i))
		}
		return err
	})
}

func (v values) each(t testing.TB, count int, do func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range loaders {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(count) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
}
