//go:build !linux

package dev

import "syscall"

// bound leaves processes in the group of this one: Ctrl-C reaches all of them at once. Elsewhere
// than on Linux nothing ends them when this process is killed.
func bound() *syscall.SysProcAttr { return nil }
