package main

import "syscall"

// bound returns process attributes that make the kernel end the command when edge is killed.
// Without edge the command has no server, and an SPDY client would treat the lost connection as
// success.
func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
