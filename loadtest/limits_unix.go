//go:build unix

package main

import "syscall"

// maxDescriptors is how many this process may have. Go has raised the soft limit to the hard one when it started.
func maxDescriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > maxSessions*2 {
		return maxSessions * 2
	}
	return int(limit.Cur)
}
