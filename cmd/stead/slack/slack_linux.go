// Package slack lets a program's timers be late, which spares CPU. It knows nothing of what the program is.
package slack

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// timers is by how much timers may be late. Go's runtime has a thread that looks after those in system calls: it naps
// for 20 µs at a time while there is work, and Linux lets each nap be longer by the slack, which is 50 µs unless
// somebody says otherwise. A node that synced hundreds of times a second, and rested in between, spent more than a
// sixth of its CPU time on these naps. None of Stead's timers is shorter than a few milliseconds.
const timers = time.Millisecond

// mark is set in the environment of a process that was executed for its slack: it is not to be again.
const mark = "_STEAD_TIMER_SLACK"

// Of linux/prctl.h.
const (
	setTimerSlack = 29
	getTimerSlack = 30
)

// Relax executes the program anew if its timers are stricter than they need be: a thread's slack is that
// of the thread that made it, and the runtime's own are made before any code of ours runs. Where that cannot be, it
// returns, and everything works as well.
func Relax() {
	if _, marked := os.LookupEnv(mark); marked {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if is, _, failed := syscall.RawSyscall(syscall.SYS_PRCTL, getTimerSlack, 0, 0); failed != 0 || time.Duration(is) >= timers {
		return
	}
	if _, _, failed := syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, uintptr(timers), 0); failed != 0 {
		return
	}
	if path, err := os.Executable(); err == nil {
		_ = syscall.Exec(path, os.Args, append(os.Environ(), mark+"="+timers.String())) // returns only if it fails
	}
}
