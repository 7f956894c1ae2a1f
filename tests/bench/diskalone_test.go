//go:build bench && linux

package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

const (
	diskBlock  = 1 << 20 // bytes
	dropCached = 4       // POSIX_FADV_DONTNEED
)

// alone is what the disk needs by itself for a number of bytes.
type alone struct {
	bytes       int64
	write, read time.Duration
}

// diskAlone writes bytes in sequence, syncs them, drops them from memory and reads them back.
func diskAlone(t testing.TB, bytes int64) alone {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "alone"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, diskBlock)
	_, _ = rand.Read(block) // never fails
	start := time.Now()
	for left := bytes; left > 0 && err == nil; left -= diskBlock {
		_, err = file.Write(block[:min(left, diskBlock)])
	}
	if err = errors.Join(err, file.Sync()); err != nil {
		t.Fatal(err)
	}
	written := time.Since(start)
	return alone{bytes: bytes, write: written, read: readBack(t, file, block)}
}

func readBack(t testing.TB, file *os.File, block []byte) time.Duration {
	t.Helper()
	if _, _, failed := syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), 0, 0, dropCached, 0, 0); failed != 0 {
		t.Fatal(failed)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for {
		if _, err := file.Read(block); errors.Is(err, io.EOF) {
			return time.Since(start)
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// Disk space: what a run needs for each byte of values, and what a node leaves free of a disk.
const (
	diskFactor  = 6
	reserveMin  = 1 << 30 // bytes
	reservePart = 20      // of the disk, one in so many
)

// fitting is how many of the bytes wanted the disk has room to move about.
func fitting(t testing.TB, wanted int64) int64 {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &disk); err != nil {
		t.Fatal(err)
	}
	all, left := int64(disk.Blocks)*disk.Bsize, int64(disk.Bavail)*disk.Bsize
	room := (left - max(reserveMin, all/reservePart)) / diskFactor
	if room < diskBlock {
		t.Skipf("%s has %s free, which is no room for values", os.TempDir(), megabytes(left))
	}
	if room < wanted {
		fmt.Printf("%s has %s free: %s of values in place of %s\n", os.TempDir(), megabytes(left), megabytes(room), megabytes(wanted))
		return room
	}
	return wanted
}

// work is what processes have used up.
type work struct {
	cpu     time.Duration
	written int64 // bytes, to disks
}

// workOf adds up what processes have used since they started.
func workOf(t testing.TB, processes ...*cluster.Process) (sum work) {
	t.Helper()
	for _, process := range processes {
		sum.cpu += cpuOf(t, process.PID())
		sum.written += writtenBy(t, process.PID())
	}
	return sum
}

func (w work) since(before work) work { return work{w.cpu - before.cpu, w.written - before.written} }

// writtenBy is how many bytes a process has caused to be written to disks.
func writtenBy(t testing.TB, pid int) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, behind, _ := strings.Cut(string(raw), "\nwrite_bytes: ")
	number, _, _ := strings.Cut(behind, "\n")
	written, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func megabytes(bytes int64) string { return fmt.Sprintf("%d MB", bytes/1_000_000) }

func rate(bytes int64, took time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", float64(bytes)/1e6/took.Seconds())
}
