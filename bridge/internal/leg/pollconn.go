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

// pollConn is a TCP connection whose reader can ask what has arrived already,
// without waiting. Package streams then sends small frames on together for as
// long as more are there. It stands below TLS: crypto/tls takes a temporary
// error of its connection for a pause and not for the end.
//
// try and what follows belong to the one goroutine that reads.
type pollConn struct {
	*net.TCPConn
	raw syscall.RawConn
	writeBuffer
	interrupts
	parkState

	nonBlocking  bool // Read must not wait
	askKernel    bool // a try asks the kernel even when drained
	readWaits    int  // Reads that might
	drained      bool // the last read took all there was: do not even ask
	ended        bool // a read gave the end
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
	c := &pollConn{TCPConn: tcp, raw: raw, writeBuffer: writeBuffer{conn: tcp}, interrupts: interrupts{conn: tcp}}
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

// park has wake called when a read would give something: bytes, the end, or an error. An idlePoller knows no deadlines:
// where there is one it returns false, and the reader waits itself.
func (c *pollConn) park(p *IdlePoller, wake func()) bool {
	if c.hasDeadline() || !c.parkState.park(p, c.raw, wake) {
		return false
	}
	if c.hasDeadline() { // one that came in between; from now on its coming wakes
		c.unpark()
	}
	return true
}

// Write implements net.Conn, through the writeBuffer.
func (c *pollConn) Write(b []byte) (int, error) { return c.writeBuffer.Write(b) }

// readOnce reads what is there; true tells the runtime not to wait for more.
func (c *pollConn) readOnce(fd uintptr) bool {
	c.n, c.err = syscall.Read(int(fd), c.buf)
	return true
}

// await waits until a read would give something: bytes, the end, or an error.
func (c *pollConn) await() error {
	err := c.raw.Read(isReadable)
	if c.wasInterrupted(err) {
		err = c.raw.Read(isReadable)
	}
	return err
}

// isReadable asks the kernel. It must: the runtime's poller tells of arrivals, and
// what came before is none.
func isReadable(fd uintptr) bool {
	ask := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(ask[:], 0)
	return n > 0 || err != nil
}

// readWaitCount counts the Reads that may have waited.
func (c *pollConn) readWaitCount() int { return c.readWaits }

// unsent is how many bytes the kernel still keeps for the peer; 0 where it does
// not tell.
func (c *pollConn) unsent() (n int) {
	c.raw.Control(func(fd uintptr) {
		n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	})
	return n
}

// hasEnded tells whether a read gave the end. If TLS has given it without, the peer
// has said so in TLS (close_notify).
func (c *pollConn) hasEnded() bool { return c.ended }

// setNonBlocking switches between the two ways to read. With again a try asks the kernel,
// whatever the last read took.
func (c *pollConn) setNonBlocking(try, again bool) { c.nonBlocking, c.askKernel = try, again }

// resetDrained makes the next try ask the kernel, whatever the last read took.
func (c *pollConn) resetDrained() { c.drained = false }

// lowWaterMark ends a gathering early: about what one TLS record holds.
const lowWaterMark = 16 << 10

// gatherFor sleeps for d. The runtime would be woken all the same by every segment
// that arrives, so the kernel is asked to keep quiet about fewer bytes meanwhile.
// (It never does about the peer's end.)
func (c *pollConn) gatherFor(d time.Duration) {
	c.lowWater(lowWaterMark)
	time.Sleep(d)
	c.lowWater(1)
	c.drained = false
}

// lowWater sets SO_RCVLOWAT. Where that fails, gathering only costs more.
func (c *pollConn) lowWater(n int) {
	c.raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	})
}

type pollListener struct{ net.Listener }

// Listener returns l with connections from which the relay can read what is
// there without waiting. Without it everything works, and small messages cost
// more. It belongs below TLS.
func Listener(l net.Listener) net.Listener { return pollListener{l} }

func (l pollListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Pollable(conn), nil
}
