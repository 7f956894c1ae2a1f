//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// insideVariable tells a process that it runs in namespaces of its own already.
const insideVariable = "STEAD_CHAOS_INSIDE"

// namespacesFolder is where ip keeps the names of network namespaces.
const namespacesFolder = "/run/netns"

// Inside reports whether this process runs in namespaces of its own.
func Inside() bool { return os.Getenv(insideVariable) != "" }

// Enclose runs this program again, with the same arguments, in namespaces of its own for the network, mounts and
// processes, and returns its exit code. Whatever is made in there goes with it, however it ends: it is the
// namespace's first process, and dies with this one.
func Enclose() (code int, err error) {
	runtime.LockOSThread() // the child dies with the thread that made it
	defer runtime.UnlockOSThread()
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Env = append(os.Environ(), insideVariable+"=1")
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = again.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return max(1, ended.ExitCode()), nil
	}
	if err != nil {
		return 1, fmt.Errorf("cannot make namespaces, which takes Linux and root: %w", err)
	}
	return 0, nil
}

// furnish makes the mounts of the namespace the process is in.
func furnish() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot keep mounts to itself: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	if err := os.MkdirAll(namespacesFolder, 0o755); err != nil {
		return fmt.Errorf("cannot make folder of network namespaces: %w", err)
	}
	if err := syscall.Mount("tmpfs", namespacesFolder, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("cannot mount folder of network namespaces: %w", err)
	}
	return nil
}
