//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	mu     sync.Mutex
	stalls []stall // in order
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
	d.start(t, counters)
	return d
}

// start goes by a disk's counters until the test ends.
func (d *diskClock) start(t *testing.T, counters *os.File) {
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
}

func (d *diskClock) watch(ctx context.Context, counters *os.File) error {
	ticker := time.NewTicker(diskAsked)
	defer ticker.Stop()
	var before int64
	var stuck stall // as far as it is known yet
	for ctx.Err() == nil {
		now := time.Now()
		completed, inHand, err := readDisk(counters)
		if err != nil {
			return err
		}
		if completed != before || inHand == 0 {
			d.note(stuck)
			before, stuck = completed, stall{from: now}
		}
		stuck.to = now
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	d.note(stuck)
	return nil
}

func (d *diskClock) note(s stall) {
	if s.to.Sub(s.from) < stallMin {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalls = append(d.stalls, s)
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
	counters, err := os.Create(filepath.Join(t.TempDir(), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	completed := 0
	disk := func(inHand int) {
		if _, err := counters.WriteAt(fmt.Appendf(nil, "%8d 0 0 0 0 0 0 0 %d 0 0", completed, inHand), 0); err != nil {
			t.Error(err)
		}
	}
	d := &diskClock{}
	disk(0)
	d.start(t, counters)
	const while = 200 * time.Millisecond
	lasting := func(inHand, each int) (stood time.Duration) {
		from := time.Now()
		for time.Since(from) < while {
			completed += each
			disk(inHand)
			pause(diskAsked / 4)
		}
		to := time.Now()
		completed++
		disk(0)
		pause(stallMin) // for it to be seen
		return d.stood(from, to)
	}
	if stood := lasting(0, 0); stood != 0 {
		t.Errorf("an idle disk stood still for %v", stood)
	}
	if stood := lasting(3, 1); stood > while/2 {
		t.Errorf("a busy disk stood still for %v", stood)
	}
	if stood := lasting(3, 0); stood < while/2 {
		t.Errorf("a disk that completed nothing for %v stood still for %v", while, stood)
	}
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
