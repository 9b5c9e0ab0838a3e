package leg

import "edge/streams"

// coalesced is a leg as its relay loop writes it: what the loop says between two
// waits for its source is kept back, up to writeBufferSize, and leaves in one write. The
// loop releases the leg before it waits. Whoever else writes to the leg writes at
// once, and what was kept back leaves before. A small write that would begin a
// batch leaves at once: sinks collect small frames themselves, so it is all there is.
type coalesced struct{ *Leg }

// Coalesced is the leg as its relay loop writes it.
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
