package replication

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencies counts how long updates and reads took since they were looked at last, in buckets that are a
// quarter of an octave wide.
type latencies struct {
	buckets [64 * 4]atomic.Uint32
	last    atomic.Int64 // end of the last one, in nanoseconds of Unix time
}

func (l *latencies) since(start time.Time) {
	now := time.Now()
	l.last.Store(now.UnixNano())
	l.add(now.Sub(start))
}

func (l *latencies) add(took time.Duration) {
	micros := uint64(max(1, took.Microseconds()))
	octave := bits.Len64(micros) - 1
	quarter := micros << 2 >> octave & 3
	l.buckets[octave*4+int(quarter)].Add(1)
}

// p99 is what 99 in 100 took at most, 0 if there were none, and begins to count anew.
func (l *latencies) p99() time.Duration {
	var counts [len(l.buckets)]uint32
	total := uint64(0)
	for i := range counts {
		counts[i] = l.buckets[i].Swap(0)
		total += uint64(counts[i])
	}
	above := total / 100
	for i := len(counts) - 1; i >= 0; i-- {
		if uint64(counts[i]) > above {
			return time.Duration((uint64(4+i%4+1)<<(i/4))>>2) * time.Microsecond
		}
		above -= uint64(counts[i])
	}
	return 0
}
