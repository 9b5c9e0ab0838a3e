//go:build unix

package leg

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// A timedWriter writes to a TCP connection as net.TCPConn does, with the same system calls, and
// measures how long the writes wait for the peer. Its caller runs one Write at a time.
type timedWriter struct {
	stallClock
	conn      *net.TCPConn
	raw       syscall.RawConn
	buf       []byte // bytes of the current Write that the kernel has not accepted yet
	err       error
	writeFunc func(fd uintptr) bool // allocated once
}

func newTimedWriter(conn *net.TCPConn, raw syscall.RawConn) *timedWriter {
	w := &timedWriter{conn: conn, raw: raw}
	w.writeFunc = w.writeAll
	return w
}

// Write implements io.Writer.
func (w *timedWriter) Write(b []byte) (n int, err error) {
	w.buf, w.err = b, nil
	err = w.raw.Write(w.writeFunc)
	w.stop()
	n = len(b) - len(w.buf)
	w.buf = nil
	if err == nil && w.err != nil {
		err = &net.OpError{Op: "write", Net: "tcp", Source: w.conn.LocalAddr(), Addr: w.conn.RemoteAddr(), Err: os.NewSyscallError("write", w.err)}
	}
	return n, err
}

// maxWrite limits the bytes of one system call, as package internal/poll does: some systems refuse
// more.
const maxWrite = 1 << 30

// writeAll writes w.buf to fd until the kernel accepts no more. It returns false if Go's poller is to
// call it again when the kernel does.
func (w *timedWriter) writeAll(fd uintptr) bool {
	for len(w.buf) > 0 {
		n, err := syscall.Write(int(fd), w.buf[:min(len(w.buf), maxWrite)])
		if n > 0 {
			w.buf = w.buf[n:]
		}
		switch {
		case errors.Is(err, syscall.EAGAIN):
			w.start()
			return false
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			w.err = err
			return true
		case n == 0:
			w.err = io.ErrUnexpectedEOF
			return true
		}
	}
	return true
}
