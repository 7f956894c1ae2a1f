package sidecar

import "syscall"

// groupAttributes puts the command in its own process group and lets the kernel end it if the
// sidecar is killed, or it would keep the service's port from the next one.
func groupAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
