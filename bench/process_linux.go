package main

import "syscall"

// childAttributes makes the kernel kill a child process when bench exits for any reason. It also
// puts the child into a process group of its own, so that Ctrl-C on a terminal does not end the
// child before bench has closed its sessions.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
