//go:build unix

package main

import (
	"syscall"

	"edge/bridge"
)

// reservedDescriptors are those that sessions must leave to plain requests.
const reservedDescriptors = 512

// maxSessions is what the limit of open files allows, two connections each, but
// no more than DefaultMaxSessions: half a gigabyte when all are idle.
func maxSessions() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return bridge.DefaultMaxSessions
	}
	if limit.Cur <= 2*reservedDescriptors {
		return max(1, int(limit.Cur)/4)
	}
	return int(min((limit.Cur-reservedDescriptors)/2, bridge.DefaultMaxSessions))
}
