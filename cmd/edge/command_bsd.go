//go:build unix && !linux

package main

import "syscall"

// bound returns the process attributes for the command: nil, because only Linux can end a process
// when its parent dies.
func bound() *syscall.SysProcAttr { return nil }
