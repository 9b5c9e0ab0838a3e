package main

import "syscall"

// childAttributes let a child die with the driver however that ends, and keep a terminal's Ctrl-C from
// reaching it before the driver has closed its sessions.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
