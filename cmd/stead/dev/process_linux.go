package dev

import "syscall"

// bound ties a process to this one: a group of its own, so that Ctrl-C reaches only this process,
// which then stops the others in order; and death with the thread that started it, so that kill -9
// of this process leaves none behind.
func bound() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
