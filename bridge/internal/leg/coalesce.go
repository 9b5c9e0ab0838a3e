package leg

import "edge/streams"

// coalesced is the leg as its relay loop writes to it. The frames that the loop writes between two
// waits for its source are kept back, up to writeBufferSize bytes, and leave in one write. The loop
// calls Flush on the leg before it waits.
//
// Other goroutines' writes leave at once, after the bytes that were kept back. A small write that
// would begin a batch also leaves at once: sinks collect small frames themselves, so no further
// frame follows it.
type coalesced struct{ *Leg }

// Coalesced returns the leg as a writer for its relay loop.
func (l *Leg) Coalesced() streams.Writer { return coalesced{l} }

// WriteRoom implements streams.Writer.
func (b coalesced) WriteRoom(p []byte, off int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writeReplies(); err != nil {
		return err
	}
	if b.writesAtOnce(len(p) - off) {
		return b.write(p[off:])
	}
	return b.hold(p[off:])
}
