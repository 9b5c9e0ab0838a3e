//go:build !linux

package leg

import "syscall"

// IdlePoller does nothing on this system. Only Linux has it; elsewhere a goroutine waits for each
// connection.
type IdlePoller struct{}

func (*IdlePoller) Close() {}

type parkState struct{}

func (*parkState) park(*IdlePoller, syscall.RawConn, func()) bool { return false }
func (*parkState) unpark()                                        {}
func (*parkState) close()                                         {}
