//go:build !linux

package leg

import "syscall"

// IdlePoller does nothing, because this system has no epoll, which only Linux has. A goroutine
// waits for each idle connection instead.
type IdlePoller struct{}

func (*IdlePoller) Close() {}

type parkState struct{}

func (*parkState) park(*IdlePoller, syscall.RawConn, func()) bool { return false }
func (*parkState) unpark()                                        {}
func (*parkState) close()                                         {}
