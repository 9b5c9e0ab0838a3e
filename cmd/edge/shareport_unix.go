//go:build unix

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort sets SO_REUSEPORT, so that several processes that set it can listen on the same port.
func sharePort(_, _ string, conn syscall.RawConn) (err error) {
	if controlled := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); controlled != nil {
		return controlled
	}
	return err
}
