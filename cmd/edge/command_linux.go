package main

import "syscall"

// bound ends the command when edge is killed: without edge it has no server, and
// an SPDY client would take the lost connection for success.
func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
