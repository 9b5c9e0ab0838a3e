//go:build unix && !linux

package main

import "syscall"

// bound: only Linux can tell a process of its parent's death.
func bound() *syscall.SysProcAttr { return nil }
