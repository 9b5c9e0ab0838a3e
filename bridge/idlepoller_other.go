//go:build !linux

package bridge

import "syscall"

// idlePoller is there for Linux alone: elsewhere a goroutine waits for each connection.
type idlePoller struct{}

func (*idlePoller) close() {}

type parking struct{}

func (*parking) park(*idlePoller, syscall.RawConn, func()) bool { return false }
func (*parking) unpark()                                        {}
func (*parking) close()                                         {}
