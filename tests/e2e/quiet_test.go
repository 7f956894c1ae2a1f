//go:build e2e

package e2e

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// quieten has as little of what else the machine does in a test's times as it may, which takes root: the page cache is
// emptied, and until the test ends this process and those that it starts go before others. Of what the tests before have
// written there are gigabytes, and a kernel that reclaims cold pages by itself (DAMON's does, every five seconds) takes a
// core for a tenth of a second at a time to get rid of them.
func quieten(t *testing.T) {
	t.Helper()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		t.Logf("the page cache stays: %v", err)
	}
	const usual, first = 0, -20
	if err := setNiceness(first); err != nil {
		t.Logf("others go first as ever: %v", err)
	}
	t.Cleanup(func() { _ = setNiceness(usual) })
}

// setNiceness is for all threads of this process. What a thread starts has the thread's.
func setNiceness(niceness int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, niceness); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
