package streams

import "sync"

// bufferSize is the size of a Buffer in bytes. It is enough for Headroom, MaxData and the headers
// around the payload, which need a little more than 32 KiB. Go rounds an allocation of that size up
// to 40 KiB, so a smaller Buffer would not save memory.
const bufferSize = 40 << 10

var buffers = sync.Pool{New: func() any { b := new([bufferSize]byte); return b }}

// Buffer is a pooled buffer of 40 KiB. A session keeps the bytes that it reads or collects in
// Buffers.
type Buffer = [bufferSize]byte

// Borrow takes a buffer from the pool. The caller returns it with Return.
func Borrow() *Buffer { return buffers.Get().(*Buffer) }

// Return puts a borrowed buffer back into the pool. The caller must not keep a slice of it.
func Return(b *Buffer) { buffers.Put(b) }
