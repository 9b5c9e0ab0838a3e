package leg

import (
	"io"
	"sync"
)

// writeBufferSize is the maximum number of bytes that a writeBuffer keeps back: four full TLS
// records, which is about the most that Linux puts into one packet of segmentation offload.
const writeBufferSize = 68 << 10

var writeBuffers = sync.Pool{New: func() any { return new([writeBufferSize]byte) }}

// A writeBuffer combines several writes to a connection into one. It is placed below TLS, which
// writes each of its records of at most 16 KiB separately. Each write costs a packet and often
// wakes the peer. A writeBuffer has a buffer only while it keeps bytes back.
//
// The lock mu is held during writes, because TLS records must leave in order. Close does not take
// mu, so it can end a blocked write.
type writeBuffer struct {
	conn io.Writer

	mu      sync.Mutex
	holding bool // true: the bytes of writes are kept back until flush is called
	buf     *[writeBufferSize]byte
	n       int // number of bytes in the field buf
	// err is the first error of a write to the connection. Later bytes are not written, because the
	// peer could not parse them.
	err error
}

// Write keeps b back while holding is true, and writes it otherwise. The error it returns may be
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

// hold makes later writes wait in the buffer. Each time writeBufferSize bytes have come together,
// they are written to the connection.
func (c *writeBuffer) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
}

// flush writes the bytes that were kept back to the connection. Later writes are not kept back.
func (c *writeBuffer) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = false
	c.empty()
	return c.err
}

// empty writes the bytes in buf to the connection, and returns buf to the pool of buffers. The
// caller holds mu.
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
