package streams

import "sync"

// bufferSize holds the headroom, one cut of MaxData and the headers around;
// Go would round anything above 32 KiB to pages of 8 KiB.
const bufferSize = 40 << 10

var buffers = sync.Pool{New: func() any { b := new([bufferSize]byte); return b }}

// Buffer is a pooled buffer of 40 KiB, the payload memory of a session.
type Buffer = [bufferSize]byte

// Borrow takes a buffer from the pool; give it back with Return.
func Borrow() *Buffer { return buffers.Get().(*Buffer) }

// Return gives a borrowed buffer back. The caller keeps no slice of it.
func Return(b *Buffer) { buffers.Put(b) }
