//go:build !unix

package main

import (
	"errors"
	"syscall"
)

func sharePort(_, _ string, _ syscall.RawConn) error {
	return errors.New("--permit-port-sharing is not supported on this operating system")
}
