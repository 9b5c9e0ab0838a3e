//go:build unix

package main

import "syscall"

// maxDescriptors returns the number of file descriptors that this process may open, or the
// parameter enough if that is less. It reads the soft limit, which Go's runtime raises to the hard
// limit when a program starts.
func maxDescriptors(enough int) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) > uint64(enough) { //nolint:unconvert // an int64 on FreeBSD
		return enough
	}
	return int(limit.Cur)
}
