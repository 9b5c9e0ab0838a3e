package main

import "syscall"

// childAttributes makes the kernel kill a child when the driver exits for any reason. It also puts
// the child into a process group of its own, so that Ctrl-C on a terminal does not end the child
// before the driver has closed its sessions.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
