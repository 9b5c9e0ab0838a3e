package bridge

import (
	"net"
	"sync"
)

// corkSize bounds what a cork keeps back, in bytes: four full TLS records, about
// the most that Linux makes one packet of.
const corkSize = 68 << 10

var corkBuffers = sync.Pool{New: func() any { return new([corkSize]byte) }}

// A cork lets what is written to a connection in pieces leave in one write. It
// stands below TLS, which writes each of its records, of 16 KiB at most, by
// itself; and each write costs a packet, and often wakes the peer. It holds a
// buffer only while it holds bytes.
//
// The lock mu is held while bytes are written, since TLS counts its records.
// Close takes no notice of it, and ends a write that is stuck.
type cork struct {
	conn net.Conn

	mu  sync.Mutex
	in  bool // what is written is kept back
	buf *[corkSize]byte
	n   int   // bytes in buf
	err error // the first of a write: what came after it the peer could not read
}

// Write keeps b back if the cork is in, and writes it otherwise. An error may be
// that of an earlier Write.
func (c *cork) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n+len(b) > corkSize {
		c.empty()
	}
	if c.err != nil {
		return 0, c.err
	}
	if c.n == 0 && !c.in || len(b) > corkSize {
		n, err := c.conn.Write(b)
		c.err = err
		return n, err
	}
	if c.buf == nil {
		c.buf = corkBuffers.Get().(*[corkSize]byte)
	}
	c.n += copy(c.buf[c.n:], b)
	if !c.in {
		c.empty()
	}
	return len(b), c.err
}

// put keeps back what is written from here on, corkSize at a time.
func (c *cork) put() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = true
}

// pull writes what was kept back, and lets later writes pass.
func (c *cork) pull() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = false
	c.empty()
	return c.err
}

// empty writes what buf holds and gives it back, mu held.
func (c *cork) empty() {
	if c.buf == nil {
		return
	}
	if c.err == nil {
		_, c.err = c.conn.Write(c.buf[:c.n])
	}
	corkBuffers.Put(c.buf)
	c.buf, c.n = nil, 0
}
