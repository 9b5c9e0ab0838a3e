//go:build unix

package leg

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"edge/internal/testkit"
)

// TestStalled checks that a write which waits for its peer counts as a stall, from its beginning on
// and not after its end, and that all bytes arrive.
func TestStalled(t *testing.T) {
	c, peer := loopback(t)
	c.measureStalls()
	for range 100 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if stalled, now := c.stalled(); stalled != 0 || now {
		t.Errorf("writes that need not wait have waited %s, and one still waits: %v", stalled, now)
	}
	const size = 64 << 20 // more than the buffers of two sockets
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(bytes.Repeat([]byte("y"), size))
		written <- err
	}()
	testkit.WaitFor(t, "a stall", func() bool {
		stalled, now := c.stalled()
		return stalled > time.Millisecond && now
	})
	if n, err := io.CopyN(io.Discard, peer, 100+size); err != nil {
		t.Fatal(n, err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	stalled, _ := c.stalled()
	c.Write([]byte("z"))
	if later, now := c.stalled(); stalled == 0 || later != stalled || now {
		t.Errorf("after the stall: %s, then %s, and one still waits: %v", stalled, later, now)
	}
}

// TestStalledWriteEnds checks that a write that waits for its peer ends at its deadline, with the
// error of a net.Conn, and when the connection is closed.
func TestStalledWriteEnds(t *testing.T) {
	for name, end := range map[string]struct {
		by  func(c *pollConn)
		err error
	}{
		"deadline": {func(c *pollConn) { c.SetWriteDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"close":    {func(c *pollConn) { c.TCPConn.Close() }, net.ErrClosed},
	} {
		c, _ := loopback(t)
		c.measureStalls()
		written := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, 64<<20))
			written <- err
		}()
		testkit.WaitFor(t, "a stall", func() bool {
			_, now := c.stalled()
			return now
		})
		end.by(c)
		if err := <-written; !errors.Is(err, end.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
