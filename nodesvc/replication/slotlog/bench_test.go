package slotlog

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// BenchmarkAppend has writers append records of 256 bytes, each to slots of its own among 64, and each waiting
// for one record before the next.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("disk/writers=%d", writers), func(b *testing.B) {
			store, err := OpenDisk(b.TempDir(), DiskOptions{})
			if err != nil {
				b.Fatal(err)
			}
			appendAll(b, store, writers)
		})
		b.Run(fmt.Sprintf("memory/writers=%d", writers), func(b *testing.B) { appendAll(b, NewMemory(), writers) })
	}
}

func appendAll(b *testing.B, store Store, writers int) {
	defer mustClose(b, store)
	if _, err := store.Load(); err != nil {
		b.Fatal(err)
	}
	latencies := make([][]time.Duration, writers)
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			slots := 64 / writers
			for i := range b.N / writers {
				slot := api.Slot(writer*slots + i%slots)
				seq := ownership.Seq(1 + i/slots)
				entry := Entry{Seq: seq, Epoch: 1, Record: make([]byte, 256)}
				start := time.Now()
				if err := wait(func(done func(error)) { store.Append(slot, []Entry{entry}, nil, done) }); err != nil {
					b.Error(err)
				}
				latencies[writer] = append(latencies[writer], time.Since(start))
				if seq%64 == 0 {
					store.Trim(slot, seq-32)
				}
			}
		})
	}
	all.Wait()
	sorted := slices.Concat(latencies...)
	if slices.Sort(sorted); len(sorted) > 0 {
		b.ReportMetric(float64(sorted[len(sorted)/2].Microseconds()), "µs-p50")
		b.ReportMetric(float64(sorted[len(sorted)*99/100].Microseconds()), "µs-p99")
	}
	b.ReportMetric(float64(len(sorted))/b.Elapsed().Seconds(), "appends/s")
}

// BenchmarkRead reads a log of 256-byte records from end to end, 64 KiB at a time.
func BenchmarkRead(b *testing.B) {
	store, err := OpenDisk(b.TempDir(), DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer mustClose(b, store)
	const count = 10_000
	for seq := ownership.Seq(1); seq <= count; seq++ {
		store.Append(1, []Entry{{Seq: seq, Record: make([]byte, 256)}}, nil, nil)
	}
	b.SetBytes(count * 256)
	b.ResetTimer()
	for b.Loop() {
		for from := ownership.Seq(1); from <= count; {
			entries, err := store.Read(1, from, 64<<10)
			if err != nil || len(entries) == 0 {
				b.Fatal(len(entries), err)
			}
			from += ownership.Seq(len(entries))
		}
	}
}

// BenchmarkIdleSlots says what 4,096 slots take of memory and of a start once each was written and trimmed.
func BenchmarkIdleSlots(b *testing.B) {
	for b.Loop() {
		path := b.TempDir()
		store := mustOpen(b, path)
		for slot := range api.Slot(4096) {
			store.Append(slot, entriesFrom(1, 100, 1), &Meta{Adopted: 1, Held: true}, nil)
			store.Trim(slot, math.MaxUint64)
		}
		if err := wait(func(done func(error)) { store.SetMeta(0, Meta{}, done) }); err != nil {
			b.Fatal(err)
		}
		mustClose(b, store)
		start := time.Now()
		store = mustOpen(b, path)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-start")
		b.ReportMetric(residentMB(b), "MB-resident")
		mustClose(b, store)
	}
}

func mustOpen(b *testing.B, path string) Store {
	store, err := OpenDisk(path, DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := store.Load(); err != nil {
		b.Fatal(err)
	}
	return store
}

// residentMB is what of the process is in memory, with all that can be given back given back.
func residentMB(b *testing.B) float64 {
	debug.FreeOSMemory()
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("only Linux tells: ", err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(content), &size, &resident); err != nil {
		b.Fatal(err)
	}
	return float64(resident*os.Getpagesize()) / (1 << 20)
}
