//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// How often a diskClock asks the kernel, and what it takes for a stall.
const (
	diskAsked = 2 * time.Millisecond
	stallMin  = 10 * time.Millisecond
)

// diskClock is a clock that stands still while the disk does: while it has requests in hand and completes none of
// anybody's. Some disks do so for hundreds of milliseconds by themselves, and whoever writes then waits. It goes by
// the disk's own counters, so how late this process gets to run plays no part.
type diskClock struct {
	mu        sync.Mutex
	completed int64
	stuck     stall   // the present one, as far as it is known
	stalls    []stall // those before, in order
}

type stall struct{ from, to time.Time }

// startDiskClock watches the disk that a folder is on until the test ends. Where that has no counters, in memory
// say, the clock never stands still.
func startDiskClock(t *testing.T, folder string) *diskClock {
	t.Helper()
	d := &diskClock{}
	var info unix.Stat_t
	if err := unix.Stat(folder, &info); err != nil {
		t.Fatal(err)
	}
	device := uint64(info.Dev)
	counters, err := os.Open(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(device), unix.Minor(device)))
	if err != nil {
		t.Logf("no stalls are known of this disk: %v", err)
		return d
	}
	watched, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := d.watch(watched, counters); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		watching.Wait()
		_ = counters.Close()
	})
	return d
}

func (d *diskClock) watch(ctx context.Context, counters *os.File) error {
	ticker := time.NewTicker(diskAsked)
	defer ticker.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		completed, inHand, err := readDisk(counters)
		if err != nil {
			return err
		}
		d.note(now, completed, inHand)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// note takes what the disk's counters were at a moment.
func (d *diskClock) note(now time.Time, completed, inHand int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if completed == d.completed && inHand > 0 && !d.stuck.from.IsZero() {
		d.stuck.to = now
		return
	}
	if d.stuck.to.Sub(d.stuck.from) >= stallMin {
		d.stalls = append(d.stalls, d.stuck)
	}
	d.completed, d.stuck = completed, stall{}
	if inHand > 0 {
		d.stuck = stall{from: now, to: now}
	}
}

// between is how long it is from one moment to another by this clock.
func (d *diskClock) between(from, to time.Time) time.Duration {
	return to.Sub(from) - d.stood(from, to)
}

// stood is how long the clock stood still between two moments.
func (d *diskClock) stood(from, to time.Time) (stood time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.stalls {
		stood += max(0, earlier(to, s.to).Sub(later(from, s.from)))
	}
	return stood
}

// TestDiskClock: only a disk that has something in hand and completes nothing stops the clock.
func TestDiskClock(t *testing.T) {
	f := func(name string, inHand int64, each, every, want time.Duration) {
		t.Helper()
		d, start, completed := &diskClock{}, time.Now(), int64(0)
		at := func(after time.Duration, inHand int64) { d.note(start.Add(after), completed, inHand) }
		at(0, 0)
		for after := 100 * time.Millisecond; after <= 200*time.Millisecond; after += every {
			if each > 0 && after%each == 0 {
				completed++
			}
			at(after, inHand)
		}
		completed++
		at(300*time.Millisecond, 0)
		if stood := d.stood(start, start.Add(300*time.Millisecond)); stood != want {
			t.Errorf("%s stood still for %v, want %v", name, stood, want)
		}
		from, to := start.Add(150*time.Millisecond), start.Add(250*time.Millisecond)
		if went := d.between(from, to); went != 100*time.Millisecond-want/2 {
			t.Errorf("%s: the clock went for %v of %v", name, went, to.Sub(from))
		}
	}
	const often = 2 * time.Millisecond
	f("a disk with nothing to do", 0, 0, often, 0)
	f("one that completes one request in 8 ms", 3, 8*time.Millisecond, often, 0)
	f("one that completes none", 3, 0, often, 100*time.Millisecond)
	f("the same, rarely asked", 1, 0, 50*time.Millisecond, 100*time.Millisecond)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// readDisk reads how many requests a disk has completed and how many it has in hand, in the order of the kernel's
// Documentation/block/stat.rst.
func readDisk(counters *os.File) (completed, inHand int64, err error) {
	line := make([]byte, 512)
	n, _ := counters.ReadAt(line, 0)
	fields := bytes.Fields(line[:n])
	const reads, writes, inFlight, discards, flushes = 0, 4, 8, 11, 15
	for _, field := range []int{reads, writes, discards, flushes} {
		if field >= len(fields) {
			break // an older kernel's
		}
		count, err := strconv.ParseInt(string(fields[field]), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		completed += count
	}
	if len(fields) <= inFlight {
		return 0, 0, fmt.Errorf("%s: %d counters", counters.Name(), len(fields))
	}
	inHand, err = strconv.ParseInt(string(fields[inFlight]), 10, 64)
	return completed, inHand, err
}
