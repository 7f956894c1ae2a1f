//go:build bench

package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// clockTick is the unit of CPU time in /proc, 1/100 s on every Linux there is.
const clockTick = 10 * time.Millisecond

// cpuOf is the CPU time that a process has used, user and system.
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th field behind it.
	_, behind, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(behind)
	ticks := 0
	for _, field := range fields[11:13] {
		count, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += count
	}
	return time.Duration(ticks) * clockTick
}

// residentOf is a process's resident memory in MiB.
func residentOf(t testing.TB, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}

// usage measures CPU over a stretch of time: of each member, and of this process.
type usage struct {
	start time.Time
	pids  []int
	at    []time.Duration
}

func measureFrom(t testing.TB, members []*cluster.Process) *usage {
	u := &usage{start: time.Now()}
	for _, member := range members {
		u.pids = append(u.pids, member.PID())
	}
	u.pids = append(u.pids, os.Getpid())
	for _, pid := range u.pids {
		u.at = append(u.at, cpuOf(t, pid))
	}
	return u
}

// shares are the cores used since, one number a process; this one is the last.
func (u *usage) shares(t testing.TB) []float64 {
	elapsed := time.Since(u.start).Seconds()
	shares := make([]float64, len(u.pids))
	for i, pid := range u.pids {
		shares[i] = (cpuOf(t, pid) - u.at[i]).Seconds() / elapsed
	}
	return shares
}

// needDescriptors skips a load that the machine's limit of open files does not admit. Go programs raise
// their soft limit to the hard one when they start.
func needDescriptors(t testing.TB, count int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < uint64(count) {
		t.Skipf("%d open files are needed and %d allowed: raise the limit with ulimit -Hn", count, limit.Max)
	}
}
