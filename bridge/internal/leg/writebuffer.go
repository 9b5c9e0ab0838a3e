package leg

import (
	"net"
	"sync"
)

// writeBufferSize bounds what a writeBuffer keeps back, in bytes: four full TLS records, about
// the most that Linux makes one packet of.
const writeBufferSize = 68 << 10

var writeBuffers = sync.Pool{New: func() any { return new([writeBufferSize]byte) }}

// A writeBuffer lets what is written to a connection in pieces leave in one write. It
// stands below TLS, which writes each of its records, of 16 KiB at most, by
// itself; and each write costs a packet, and often wakes the peer. It holds a
// buffer only while it holds bytes.
//
// The lock mu is held while bytes are written, since TLS counts its records.
// Close takes no notice of it, and ends a write that is stuck.
type writeBuffer struct {
	conn net.Conn

	mu      sync.Mutex
	holding bool // what is written is kept back
	buf     *[writeBufferSize]byte
	n       int   // bytes in buf
	err     error // the first of a write: what came after it the peer could not read
}

// Write keeps b back if it is holding, and writes it otherwise. An error may be
// that of an earlier Write.
func (c *writeBuffer) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n+len(b) > writeBufferSize {
		c.empty()
	}
	if c.err != nil {
		return 0, c.err
	}
	nothingKept := c.n == 0 && !c.holding
	if nothingKept || len(b) > writeBufferSize {
		n, err := c.conn.Write(b)
		c.err = err
		return n, err
	}
	if c.buf == nil {
		c.buf = writeBuffers.Get().(*[writeBufferSize]byte)
	}
	c.n += copy(c.buf[c.n:], b)
	if !c.holding {
		c.empty()
	}
	return len(b), c.err
}

// hold keeps back what is written from here on, writeBufferSize at a time.
func (c *writeBuffer) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
}

// flush writes what was kept back, and lets later writes pass.
func (c *writeBuffer) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = false
	c.empty()
	return c.err
}

// empty writes what buf holds and gives it back, mu held.
func (c *writeBuffer) empty() {
	if c.buf == nil {
		return
	}
	if c.err == nil {
		_, c.err = c.conn.Write(c.buf[:c.n])
	}
	writeBuffers.Put(c.buf)
	c.buf, c.n = nil, 0
}
