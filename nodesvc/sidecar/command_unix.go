//go:build unix && !linux

package sidecar

import "syscall"

// groupAttributes puts the command in its own process group.
func groupAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
