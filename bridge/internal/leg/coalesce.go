package leg

import "edge/streams"

// coalesced is a leg (one of a session's two connections) as the relay loop writes to it. The loop
// reads frames from the other leg. What it writes between two waits for more frames is kept back,
// up to writeBufferSize bytes, and leaves in one write. The loop calls Flush on the leg before it
// waits.
//
// Writes of other goroutines leave at once, after the bytes that were kept back. A small write also
// leaves at once if nothing is kept back: the loop's sink (its frame encoder) collects small frames
// itself, so no further frame follows.
type coalesced struct{ *Leg }

// Coalesced returns the leg as the writer of its relay loop, whose frames are kept back and leave
// together.
func (l *Leg) Coalesced() streams.Writer { return coalesced{l} }

// WriteRoom implements streams.Writer. It first writes the replies (such as pongs) that wait to be
// sent. Then it writes p[off:] or keeps it back.
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
