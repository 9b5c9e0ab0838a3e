//go:build unix

package main

import "syscall"

// maxDescriptors is how many this process may have, or enough if those are more. Go has raised the soft limit to the hard one when it started.
func maxDescriptors(enough int) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) > uint64(enough) {
		return enough
	}
	return int(limit.Cur)
}
