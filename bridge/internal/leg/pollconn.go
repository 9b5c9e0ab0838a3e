//go:build unix

package leg

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pollConn is a TCP connection that can be read without waiting. Package streams uses this to
// collect small frames: it reads as long as bytes have arrived, and then forwards the frames
// together. pollConn is placed below TLS. crypto/tls treats a temporary error of its connection as
// a pause, not as the end.
//
// The fields from nonBlocking on belong to the one goroutine that reads.
type pollConn struct {
	*net.TCPConn
	raw syscall.RawConn
	out *timedWriter // nil: nobody measures how long writes wait
	writeBuffer
	interrupts
	parkState

	nonBlocking  bool // true: Read must not wait for bytes
	askKernel    bool // a non-blocking Read queries the kernel even if the field drained is true
	readWaits    int  // number of Reads that may have waited for bytes
	drained      bool // true: the last Read emptied the socket, so do not query the kernel
	ended        bool // true: a Read has returned the end of the TCP connection
	buf          []byte
	n            int
	err          error
	readOnceFunc func(fd uintptr) bool
}

func Pollable(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &pollConn{TCPConn: tcp, raw: raw, interrupts: interrupts{conn: tcp}}
	c.writeBuffer.conn = tcp
	c.readOnceFunc = c.readOnce
	return c
}

func (c *pollConn) Read(b []byte) (int, error) {
	if !c.nonBlocking {
		c.readWaits++
		n, err := c.TCPConn.Read(b)
		if c.wasInterrupted(err) {
			return n, errWouldBlock
		}
		c.drained = n < len(b)
		c.ended = c.ended || errors.Is(err, io.EOF)
		return n, err
	}
	nothingThere := c.drained && !c.askKernel
	if nothingThere || len(b) == 0 {
		return 0, errWouldBlock
	}
	c.buf = b
	err := c.raw.Read(c.readOnceFunc)
	if c.wasInterrupted(err) {
		err = c.raw.Read(c.readOnceFunc)
	}
	c.buf = nil
	if err != nil {
		return 0, err
	}
	switch {
	case errors.Is(c.err, syscall.EAGAIN) || errors.Is(c.err, syscall.EINTR):
		c.drained = true
		return 0, errWouldBlock
	case c.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", c.err)}
	case c.n == 0:
		c.ended = true
		return 0, io.EOF
	}
	c.drained = c.n < len(b)
	return c.n, nil
}

// SetDeadline implements net.Conn.
func (c *pollConn) SetDeadline(t time.Time) error {
	defer c.unpark()
	return c.interrupts.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *pollConn) SetReadDeadline(t time.Time) error {
	defer c.unpark()
	return c.interrupts.SetReadDeadline(t)
}

// Close implements net.Conn.
func (c *pollConn) Close() error {
	defer c.parkState.close()
	return c.TCPConn.Close()
}

// park lets the IdlePoller p call the function wake once when a Read would return bytes, the end or
// an error. An IdlePoller does not support deadlines. If a deadline is set, park returns false and
// the reader waits by itself.
func (c *pollConn) park(p *IdlePoller, wake func()) bool {
	if c.hasDeadline() || !c.parkState.park(p, c.raw, wake) {
		return false
	}
	// Another goroutine set a deadline before the connection was parked. If a deadline is set after
	// that, the function SetReadDeadline calls wake.
	if c.hasDeadline() {
		c.unpark()
	}
	return true
}

// Write implements net.Conn. It writes through the writeBuffer.
func (c *pollConn) Write(b []byte) (int, error) { return c.writeBuffer.Write(b) }

// readOnce reads the bytes that have arrived on fd. It always returns true, so that Go's poller
// does not wait for more.
func (c *pollConn) readOnce(fd uintptr) bool {
	c.n, c.err = syscall.Read(int(fd), c.buf)
	return true
}

// await waits until a Read would return bytes, the end or an error.
func (c *pollConn) await() error {
	err := c.raw.Read(isReadable)
	if c.wasInterrupted(err) {
		err = c.raw.Read(isReadable)
	}
	return err
}

// isReadable asks the kernel whether bytes, the end or an error have arrived on fd. This is needed
// because Go's poller is edge-triggered: it does not report bytes that arrived before the wait.
func isReadable(fd uintptr) bool {
	ask := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(ask[:], 0)
	return n > 0 || err != nil
}

// measureStalls makes stalled measure the writes from now on. Plain requests do without. It is called
// before stalled.
func (c *pollConn) measureStalls() {
	c.writeBuffer.mu.Lock()
	defer c.writeBuffer.mu.Unlock()
	if c.out == nil {
		c.out = newTimedWriter(c.TCPConn, c.raw)
		c.writeBuffer.conn = c.out
	}
}

// stalled returns how long writes have waited so far because the peer did not read, and whether one
// waits at the moment.
func (c *pollConn) stalled() (total time.Duration, now bool) { return c.out.stalled() }

// readWaitCount returns the number of Reads that may have waited for bytes.
func (c *pollConn) readWaitCount() int { return c.readWaits }

// unsent returns the number of bytes that the kernel still holds for the peer. It returns 0 if the
// kernel does not report it.
func (c *pollConn) unsent() (n int) {
	_ = c.raw.Control(func(fd uintptr) {
		n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	})
	return n
}

// hasEnded reports whether a Read has returned the end of the TCP connection. If TLS has returned
// the end and hasEnded is false, the peer has sent a close_notify.
func (c *pollConn) hasEnded() bool { return c.ended }

// setNonBlocking selects whether Reads wait for bytes. If the parameter again is true, a
// non-blocking Read queries the kernel even if the last Read emptied the socket.
func (c *pollConn) setNonBlocking(try, again bool) { c.nonBlocking, c.askKernel = try, again }

// resetDrained makes the next non-blocking Read query the kernel even if the last Read emptied the
// socket.
func (c *pollConn) resetDrained() { c.drained = false }

// lowWaterMark is the number of bytes, about one TLS record, whose arrival ends the sleep of
// gatherFor early.
const lowWaterMark = 16 << 10

// gatherFor sleeps for d so that small segments arrive together. Meanwhile the kernel reports
// readable bytes only if they are at least lowWaterMark: otherwise every segment would wake Go's
// poller. The kernel always reports the peer's end.
func (c *pollConn) gatherFor(d time.Duration) {
	c.lowWater(lowWaterMark)
	time.Sleep(d)
	c.lowWater(1)
	c.drained = false
}

// lowWater sets SO_RCVLOWAT to n bytes, see lowWaterMark. If that fails, gatherFor still works, but
// saves fewer wake-ups.
func (c *pollConn) lowWater(n int) {
	_ = c.raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	})
}

type pollListener struct{ net.Listener }

// Listener wraps l. The relay moves bytes between clients and the API server; with Listener it can
// read what has arrived on a connection without waiting for more. Pass the result to
// tls.NewListener, so that it is below TLS. edge works without Listener, but then small messages
// cost more CPU.
func Listener(l net.Listener) net.Listener { return pollListener{l} }

func (l pollListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Pollable(conn), nil
}
