//go:build unix

package dataplane

import "syscall"

// filesMax is how many files this process may have open, connections among them; false if nobody knows. Go has raised it
// as far as the process may (RLIMIT_NOFILE).
func filesMax() (uint64, bool) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return uint64(limit.Cur), err == nil
}
